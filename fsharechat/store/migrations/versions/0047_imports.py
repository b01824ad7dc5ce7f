"""Sessions and messages come from the original, by an import."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    imported: sa.Column[bool] = sa.Column(
        "imported",
        sa.Boolean(),
        nullable=False,
        server_default="0",
        comment="It comes from the original, whose user token is good until the next login.",
    )
    op.add_column("sessions", imported)
    create_table(
        "import_notes",
        sa.Column(
            "kind", sa.SmallInteger(), autoincrement=False, nullable=False, comment="imports.ImportNote"
        ),
        sa.Column("name", sa.String(length=64), nullable=False, comment="What it is about, such as a group."),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "uid"),
        comment="What an import has still to do; empty but for while one runs.",
        sqlite_with_rowid=False,
    )
