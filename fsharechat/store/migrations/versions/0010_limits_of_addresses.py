"""What addresses may do is counted in the database, and wrong guesses lock no number any more."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0010"
down_revision = "0006"


def upgrade() -> None:
    create_table(
        "address_limits",
        sa.Column("kind", sa.SmallInteger(), nullable=False, autoincrement=False, comment="Counted"),
        sa.Column(
            "address", sa.String(length=64), nullable=False, comment="An IPv4 address, or a /64 network."
        ),
        sa.Column("empty_ms", sa.BigInteger(), nullable=False, comment="When all of it is forgotten."),
        sa.PrimaryKeyConstraint("kind", "address"),
        sqlite_with_rowid=False,
    )
    op.create_index("address_limits_empty", "address_limits", ["empty_ms"], unique=False)
    # A process of the version before, which may still run, writes `locked_until_ms`; this one does not know it.
    if op.get_bind().dialect.name == "sqlite":
        op.drop_column("login_codes", "locked_until_ms")
        op.add_column(
            "login_codes",
            sa.Column("locked_until_ms", sa.BigInteger(), nullable=False, server_default="0"),
        )
        return
    op.alter_column(
        "login_codes",
        "locked_until_ms",
        existing_type=sa.BigInteger(),
        existing_nullable=False,
        server_default="0",
        comment="Set by the version before, which may still run beside this one.",
    )
    op.alter_column(
        "login_codes",
        "wrong",
        existing_type=sa.Integer(),
        existing_nullable=False,
        comment="Wrong guesses at the code.",
    )
