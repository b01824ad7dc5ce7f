"""How many bytes a user may upload in a day is counted."""

import sqlalchemy as sa

from fsharechat.store.migrations.versions import create_table

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    create_table(
        "uploaded",
        sa.Column(
            "folder",
            sa.String(length=64),
            nullable=False,
            comment="The uploader's, see blobs.keys.Uploaders.",
        ),
        sa.Column("day", sa.Integer(), nullable=False, comment="Days since the Unix epoch of `bytes`."),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="What was put into the folder that day."),
        sa.PrimaryKeyConstraint("folder"),
        sqlite_with_rowid=False,
    )
