"""Who used a login code, so that a login that is made again finds that it was its own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    used_by = sa.Column(
        "used_by",
        sa.String(length=255),
        nullable=False,
        server_default="",
        comment="The client id of the login that used the code; empty while it is unused.",
    )
    op.add_column("login_codes", used_by)
