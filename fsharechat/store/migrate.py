"""Brings a database to the schema of this version, step by step, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from fsharechat.errors import StoreError


def migrate(url: str) -> None:
    """Run the migrations that the database at the SQLAlchemy `url` lacks. Blocks.

    Raises StoreError, also when a newer version of fsharechat has written the database.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreError(f"the database was made by another version of fsharechat: {error}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"the schema could not be brought up to date: {error}") from error
    finally:
        engine.dispose()
