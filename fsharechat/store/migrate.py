"""Brings a database to the schema of this version, step by step, with Alembic."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script, ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fsharechat import __version__
from fsharechat.errors import StoreError
from fsharechat.store import fence
from fsharechat.store.state import VERSION_FACT

log = structlog.get_logger(__name__)

LOCK_SECONDS = 120.0
"""How long a process waits for another process that is migrating the same database, s."""

_BEEN_THERE = ((1050,), (1060,), (1061,), (1062,), (1213,))
"""MySQL's errors for a table, column, index or row that exists already, and for a conflict with another writer."""

_PAUSE_SECONDS = 0.5


class MigrationStep(NamedTuple):
    """A migration that was carried out: step `number` of `of`."""

    number: int
    of: int
    revision: str
    what: str
    seconds: float


OnStep = Callable[[MigrationStep], None]


def log_step(step: MigrationStep) -> None:
    """Write a step to the log of a server."""
    log.info(
        "the store was migrated by a step",
        number=step.number,
        of=step.of,
        revision=step.revision,
        what=step.what,
        seconds=step.seconds,
    )


def revisions() -> list[str]:
    """Return the migrations that this version knows, the oldest first."""
    return [script.revision for script in _scripts()]


@cache
def _scripts() -> tuple[Script, ...]:
    """Return the migrations, the oldest first. To load all of them takes 10 ms, so it is done once."""
    return tuple(ScriptDirectory.from_config(_config()).walk_revisions())[::-1]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def migrate(
    url: str,
    upto: str = "head",
    lock_seconds: float = LOCK_SECONDS,
    connect: Callable[..., Any] | None = None,
    on_step: OnStep = log_step,
) -> None:
    """Run the migrations that the database at the SQLAlchemy `url` lacks, up to a revision. Blocks.

    `on_step` is called after each step, except for the steps that make a new database. `connect` replaces the
    driver's own function, with the same arguments. On SQLite all steps are done or none: a process that is killed
    meanwhile leaves the database unchanged. A database that a newer version has migrated is not changed: this version
    can use it until the fence forbids it (fence.py), and then StoreFenced is raised. Raises StoreError, also if
    another process is migrating for longer than `lock_seconds`.
    """
    config = _config()
    engine = create_engine(url)
    if connect is not None:
        event.listen(engine, "do_connect", lambda _, __, args, options: connect(*args, **options))
    if engine.dialect.name == "sqlite":
        _take_whole_steps(engine)
    deadline = time.monotonic() + lock_seconds
    try:
        while not _upgrade(engine, config, upto, on_step, deadline):
            time.sleep(_PAUSE_SECONDS)
    except CommandError as error:
        raise StoreError(
            f"{_place(engine)}: the database was made by another version of fsharechat: {error}"
        ) from error
    except SQLAlchemyError as error:
        raise StoreError(
            f"{_place(engine)}: the schema could not be brought up to date: {_reason(error)}"
        ) from error
    finally:
        engine.dispose()


def _upgrade(engine: Engine, config: Config, upto: str, on_step: OnStep, deadline: float) -> bool:
    """Run the migrations. Return False if another process is at the same migration.

    A named lock of MySQL holds on one server only, so this can happen on a Galera cluster.
    """
    try:
        with engine.begin() as connection, _alone(connection, max(0.0, deadline - time.monotonic())):
            if inspect(connection).has_table("facts") and (problem := fence.problem(_lowest(connection))):
                raise fence.StoreFenced(f"{_place(engine)}: {problem}")
            if newer := _newer(connection):
                log.info("a newer version has migrated the store", place=_place(engine), revision=newer)
                return True
            before = _revision(connection)
            if before == (revisions()[-1] if upto == "head" else upto):
                return True  # Alembic would load every migration once more to find that there is none to run
            config.attributes["connection"] = connection
            # The steps that make a new database are not reported.
            config.attributes["on_version"] = _teller(before, upto, on_step) if before else []
            command.upgrade(config, upto)
            if _revision(connection) != before:
                _write_version(connection)
    except DBAPIError as error:
        if error.orig is None or error.orig.args[:1] not in _BEEN_THERE or time.monotonic() > deadline:
            raise
        return False
    return True


def _lowest(connection: Connection) -> int:
    return fence.level_in([tuple(row) for row in connection.execute(text(fence.QUERY))])


def _revision(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _teller(revision: str, upto: str, on_step: OnStep) -> Callable[..., None]:
    """Return the function that Alembic calls after each step from one revision to another."""
    scripts = {script.revision: script.doc.partition("\n")[0] for script in _scripts()}
    known = list(scripts)
    last = len(known) if upto == "head" else known.index(upto) + 1
    waiting = known[known.index(revision) + 1 if revision else 0 : last]
    began = time.monotonic()

    def tell(*, step: MigrationInfo, **_: object) -> None:
        nonlocal began
        name = str(step.up_revision_id)
        now = time.monotonic()
        on_step(
            MigrationStep(waiting.index(name) + 1, len(waiting), name, scripts[name], round(now - began, 1))
        )
        began = now

    return tell


def _write_version(connection: Connection) -> None:
    """Note in the database that this version has migrated it."""
    connection.execute(text("DELETE FROM facts WHERE name = :name"), {"name": VERSION_FACT})
    connection.execute(
        text("INSERT INTO facts (name, value) VALUES (:name, :value)"),
        {"name": VERSION_FACT, "value": __version__.encode()},
    )


def _newer(connection: Connection) -> str:
    """Return the revision of the database if this version does not know it, else ""."""
    return ", ".join(set(MigrationContext.configure(connection).get_current_heads()) - set(revisions()))


def _take_whole_steps(engine: Engine) -> None:
    """Put everything into one transaction. Else the driver commits each change of a table at once."""
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _place(engine: Engine) -> str:
    """Return the file, or the host: never the password."""
    url = engine.url
    return (
        str(url.database)
        if engine.dialect.name == "sqlite"
        else f"{url.host}:{url.port or 3306}/{url.database}"
    )


def _reason(error: SQLAlchemyError) -> str:
    """Return the error of the database in one line, without the statement."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return str(error)
    return str(error.orig.args[-1] if error.orig.args else error.orig)


@contextmanager
def _alone(connection: Connection, seconds: float) -> Iterator[None]:
    """Keep other processes from migrating meanwhile. With SQLite there is only one process in the data folder."""
    if connection.dialect.name == "sqlite":
        yield
        return
    if not connection.scalar(text("SELECT GET_LOCK('fsharechat.migrate', :seconds)"), {"seconds": seconds}):
        raise StoreError(f"another process is migrating the database, for more than {seconds:g} s")
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK('fsharechat.migrate')"))
