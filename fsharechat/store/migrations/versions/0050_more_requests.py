"""What newer requests need: a silence that ends; what a device is, and when it was connected."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    until = sa.Column(
        "silenced_until",
        sa.BigInteger(),
        nullable=False,
        server_default="0",
        comment="When the silence of a silenced member ends; 0: it has no end.",
    )
    op.add_column("group_members", until)
    agent = sa.Column(
        "agent", sa.String(255), nullable=False, server_default="", comment="The User-Agent of the login."
    )
    op.add_column("sessions", agent)
    name = sa.Column(
        "name", sa.String(64), nullable=False, server_default="", comment="What the device calls itself."
    )
    op.add_column("sessions", name)
    create_table(
        "device_seen",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "client_id"),
        comment="When devices were connected last.",
        sqlite_with_rowid=False,
    )
