"""Who has left a group silenced is silenced again when they come back."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    silence = sa.Column(
        "silence",
        sa.SmallInteger(),
        nullable=False,
        server_default="0",
        comment="Silence of those removed: how a silenced member went.",
    )
    op.add_column("group_members", silence)
