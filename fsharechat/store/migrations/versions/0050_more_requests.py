"""What newer requests need: a silence that ends."""

import sqlalchemy as sa
from alembic import op

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
