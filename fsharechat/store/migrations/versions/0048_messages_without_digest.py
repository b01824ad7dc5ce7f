"""Whether there are messages with a local id and no digest. Only then a store searches for them."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"

_ANY = "SELECT 1 FROM messages WHERE local_id IS NOT NULL AND digest = 0 LIMIT 1"
_NOTE = "INSERT INTO facts (name, value) VALUES ('messages_without_digest', :value)"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.execute(sa.text(_ANY)).first() is not None:
        connection.execute(sa.text(_NOTE), {"value": b"1"})
