"""What two users are to each other beneath a blacklisting, which ends one day."""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    beneath = sa.Column(
        "beneath",
        sa.SmallInteger(),
        nullable=False,
        server_default="1",
        comment="Of a blacklisted user: the FriendState that comes back with its end.",
    )
    op.add_column("friends", beneath)
