"""How many files a user may upload in a day is counted."""

import sqlalchemy as sa

from fsharechat.store.migrations.versions import create_table

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    create_table(
        "uploads",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False, comment="Days since the Unix epoch of `granted`."),
        sa.Column(
            "granted",
            sa.Integer(),
            nullable=False,
            comment="Addresses for uploads that the user got that day.",
        ),
        sa.PrimaryKeyConstraint("uid"),
        sqlite_with_rowid=False,
    )
