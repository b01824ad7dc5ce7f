"""How far a device has its user's inbox is kept, and which device sent a message that has no local id."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


_COMMENTS = {
    "kind": (sa.SmallInteger(), "Log"),
    "seq": (sa.BigInteger(), "The last one that the device demonstrably has."),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "mysql":  # SQLite has no comments
        for column, (kind, comment) in _COMMENTS.items():
            op.alter_column(
                "device_cursors", column, existing_type=kind, existing_nullable=False, comment=comment
            )
    op.add_column(
        "device_cursors",
        sa.Column(
            "handed",
            sa.BigInteger(),
            nullable=False,
            server_default="0",
            comment="The device was given the log up to there.",
        ),
    )
    op.add_column(
        "messages",
        sa.Column(
            "client",
            sa.String(length=255),
            nullable=True,
            comment="The device that sent it, where there is no local id.",
        ),
    )
