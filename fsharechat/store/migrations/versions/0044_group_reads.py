"""How far members have read in groups: one row for each of them, not one for each other member too.

Rows that were written before stay where they are, and are told of as ever.
"""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    create_table(
        "group_reads",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reporter", sa.String(length=64), nullable=False),
        sa.Column("date", sa.BigInteger(), nullable=False, comment="Read up to here."),
        sa.Column("version", sa.BigInteger(), nullable=False, comment="In what the members are told (ms)."),
        sa.Column(
            "members_dt",
            sa.BigInteger(),
            nullable=False,
            comment="Who became a member after it is not told.",
        ),
        sa.PrimaryKeyConstraint("group_id", "line", "reporter"),
        comment="Who has read how far in groups.",
        sqlite_with_rowid=False,
    )
    op.create_index("group_reads_version", "group_reads", ["group_id", "version"])
