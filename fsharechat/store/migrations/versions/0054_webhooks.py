"""What webhooks are still to tell, and whether a user has ever logged in."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import LONGBLOB

from fsharechat.store.migrations.versions import create_table

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    body = sa.LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")
    create_table(
        "webhook_queue",
        sa.Column(
            "pos",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
            comment="It grows with each transaction that shares a user with another one.",
        ),
        sa.Column("hook", sa.String(length=64), nullable=False, comment="Its name in the settings."),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("messages", body, nullable=False, comment="The ids of stored messages, 8 bytes each."),
        sa.Column("event", body, nullable=False, comment="Another event, as JSON; empty if it is messages."),
        sa.PrimaryKeyConstraint("pos"),
        comment="What webhooks are still to tell.",
        sqlite_autoincrement=True,
    )
    op.create_index("webhook_queue_hook", "webhook_queue", ["hook", "pos"])
    op.add_column(
        "users",
        sa.Column(
            "came_ms",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="The first login; -1: none yet, 0: before this was noted.",
        ),
    )
