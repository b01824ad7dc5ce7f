"""Users are found by any part of their display name by an index, however many they are."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table
from fsharechat.store.users import parts

revision = "0020"
down_revision = "0011"

_STEP = 500


def upgrade() -> None:
    create_table(
        "name_parts",
        sa.Column(
            "part",
            sa.String(length=64),
            nullable=False,
            comment="The display name from one of its characters on, see users.parts.",
        ),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("part", "uid"),
        comment="What a search for a part of a display name looks into.",
        sqlite_with_rowid=False,
    )
    op.create_index("name_parts_uid", "name_parts", ["uid"], unique=False)
    connection = op.get_bind()
    select = sa.text(f"SELECT uid, display_name FROM users WHERE uid > :after ORDER BY uid LIMIT {_STEP}")
    insert = sa.text("INSERT INTO name_parts (part, uid) VALUES (:part, :uid)")
    after = ""
    while users := connection.execute(select, {"after": after}).all():
        rows = [{"part": part, "uid": uid} for uid, name in users for part in parts(name)]
        if rows:
            connection.execute(insert, rows)
        after = users[-1].uid
