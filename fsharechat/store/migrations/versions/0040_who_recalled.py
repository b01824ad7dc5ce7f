"""Which device recalled a message: the operator's others are told of it too."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0021"


def upgrade() -> None:
    operator_client = sa.Column(
        "operator_client",
        sa.String(length=255),
        nullable=False,
        server_default="",
        comment="The client id of the device that asked for it.",
    )
    op.add_column("recalls", operator_client)
