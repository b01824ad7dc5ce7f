"""Groups, reports, settings, sensitive words, and the versions of what belongs to a user."""

import sqlalchemy as sa
from alembic import op

from fsharechat.store.migrations.versions import create_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name, comment in (
        ("friends_dt", "The version of the friends."),
        ("requests_dt", "The version of friend requests."),
        ("settings_dt", "The version of the settings."),
        ("delivered_seq", "The last delivery report."),
        ("read_seq", "The last read report."),
        ("recalled_seq", "The last recall."),
    ):
        column = sa.Column(name, sa.BigInteger(), nullable=False, server_default="0", comment=comment)
        op.add_column("heads", column)
    op.execute(
        "INSERT INTO heads (uid, seq) SELECT uid, 0 FROM users WHERE uid NOT IN (SELECT h.uid FROM heads h)"
    )
    op.execute(
        "UPDATE heads SET friends_dt = COALESCE("
        "(SELECT MAX(update_dt) FROM friends WHERE friends.uid = heads.uid), 0)"
    )
    op.execute(
        "UPDATE heads SET requests_dt = COALESCE((SELECT MAX(update_dt) FROM friend_requests "
        "WHERE from_uid = heads.uid OR to_uid = heads.uid), 0)"
    )
    create_table(
        "chat_groups",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("portrait", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("type", sa.SmallInteger(), nullable=False, comment="GroupType"),
        sa.Column("extra", sa.Text(), nullable=False),
        sa.Column("member_count", sa.Integer(), nullable=False, comment="Of those who are not removed."),
        sa.Column("dismissed", sa.Boolean(), nullable=False),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.Column("member_update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        comment="Groups of users; `groups` is a reserved word of MySQL.",
    )
    create_table(
        "group_members",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("alias", sa.String(length=255), nullable=False),
        sa.Column(
            "type", sa.SmallInteger(), nullable=False, comment="MemberType; those removed keep their row."
        ),
        sa.Column(
            "joined_ms",
            sa.BigInteger(),
            nullable=False,
            comment="When the user became a member, the last time.",
        ),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "uid"),
        sqlite_with_rowid=False,
    )
    op.create_index("group_members_uid", "group_members", ["uid", "type"], unique=False)
    create_table(
        "reports",
        sa.Column("uid", sa.String(length=64), nullable=False, comment="Who is told."),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment="ReportType", autoincrement=False),
        sa.Column(
            "conversation", sa.SmallInteger(), nullable=False, comment="ConversationType", autoincrement=False
        ),
        sa.Column("line", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column(
            "target", sa.String(length=64), nullable=False, comment="The conversation as `uid` sees it."
        ),
        sa.Column("reporter", sa.String(length=64), nullable=False),
        sa.Column("date", sa.BigInteger(), nullable=False, comment="Fetched or read up to here."),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="In the reports of that kind for `uid`."),
        sa.PrimaryKeyConstraint("uid", "kind", "conversation", "line", "target", "reporter"),
        sqlite_with_rowid=False,
    )
    op.create_index("reports_seq", "reports", ["uid", "kind", "seq"], unique=False)
    create_table(
        "recalls",
        sa.Column("uid", sa.String(length=64), nullable=False, comment="Who has the message."),
        sa.Column(
            "seq", sa.BigInteger(), nullable=False, autoincrement=False, comment="In the recalls for `uid`."
        ),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("operator", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("uid", "seq"),
        sqlite_with_rowid=False,
    )
    create_table(
        "device_cursors",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False, comment="CursorKind", autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="The last one that the device knows."),
        sa.PrimaryKeyConstraint("uid", "client_id", "kind"),
        sqlite_with_rowid=False,
    )
    create_table(
        "sensitive_words",
        sa.Column("word", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("word"),
        sqlite_with_rowid=False,
    )
    create_table(
        "user_settings",
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("scope", sa.Integer(), nullable=False, comment="SettingScope", autoincrement=False),
        sa.Column("name", sa.String(length=255), nullable=False, comment="The key of the contract."),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("update_dt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", "scope", "name"),
        sqlite_with_rowid=False,
    )
