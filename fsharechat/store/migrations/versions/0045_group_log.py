"""Large groups have a log, from which members who are away are given their entries later."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    create_table(
        "group_log",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("pos", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "pos"),
        comment="The messages of groups whose absent members are given them later.",
        sqlite_with_rowid=False,
    )
    op.create_index("group_log_message", "group_log", ["message_id"])
    create_table(
        "group_log_owed",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column(
            "given",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="The inbox has the log up to there.",
        ),
        sa.Column(
            "upto", sa.BigInteger(), nullable=False, comment="The end of the log when the member left."
        ),
        sa.PrimaryKeyConstraint("uid", "group_id", "given"),
        comment="What members who have left are still to be given of a group's log.",
        sqlite_with_rowid=False,
    )
    op.create_index("group_log_owed_group", "group_log_owed", ["group_id"])
    op.add_column(
        "chat_groups",
        sa.Column(
            "log_pos", sa.BigInteger(), nullable=True, comment="The last of its log; NULL where it has none."
        ),
    )
    op.add_column(
        "chat_groups",
        sa.Column(
            "log_turn",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="Grows when members fall asleep or wake, so that this cannot pass a message on another server.",
        ),
    )
    op.add_column(
        "group_members",
        sa.Column(
            "given",
            sa.BigInteger(),
            nullable=False,
            server_default="-1",
            comment="The inbox has the group's log up to there; -1 where it has all at once.",
        ),
    )
    op.create_index("group_members_given", "group_members", ["group_id", "given", "type"])
    op.add_column(
        "heads",
        sa.Column(
            "asleep",
            sa.SmallInteger(),
            nullable=False,
            server_default="0",
            comment="1 where logs of groups may have what the inbox has not.",
        ),
    )
