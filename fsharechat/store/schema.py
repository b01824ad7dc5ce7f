"""The tables, for both dialects.

Migrations bring a database to this state. The statements are in the modules of each subject. A table that is read
only by its primary key is stored in the index of that key (`sqlite_with_rowid=False`), as InnoDB always does.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY
from sqlalchemy.types import TypeEngine

metadata = MetaData()

UID = String(64)
MS = BigInteger  # milliseconds since the Unix epoch
BODY = LargeBinary().with_variant(LONGBLOB(), "mysql", "mariadb")


def few_bytes(size: int) -> TypeEngine[bytes]:
    return LargeBinary(size).with_variant(VARBINARY(size), "mysql", "mariadb")


facts = Table(
    "facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", few_bytes(255), nullable=False),
    comment="What the whole deployment shares, such as the key that signs user tokens.",
)

users = Table(
    "users",
    metadata,
    Column("uid", UID, primary_key=True),
    Column(
        "number", String(255), nullable=False, unique=True, comment="The mobile number or e-mail of login."
    ),
    Column("name", String(255), nullable=False),
    Column("display_name", String(255), nullable=False),
    Column("portrait", Text, nullable=False),
    Column("mobile", String(255), nullable=False),
    Column("email", String(255), nullable=False),
    Column("address", Text, nullable=False),
    Column("company", Text, nullable=False),
    Column("social", Text, nullable=False),
    Column("extra", Text, nullable=False),
    Column("gender", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("status", SmallInteger, nullable=False, comment="UserStatus"),
    Column("update_dt", MS, nullable=False),
    Column(
        "came_ms",
        MS,
        nullable=False,
        server_default="0",
        comment="The first login; -1: none yet, 0: before this was noted.",
    ),
    Index("users_display_name", "display_name"),
    Index("users_name", "name"),
)

name_parts = Table(
    "name_parts",
    metadata,
    Column(
        "part",
        String(64),
        primary_key=True,
        comment="The display name from one of its characters on, see users.parts.",
    ),
    Column("uid", UID, primary_key=True),
    Index("name_parts_uid", "uid"),
    comment="What a search for a part of a display name looks into.",
    sqlite_with_rowid=False,
)

sessions = Table(
    "sessions",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("client_id", String(255), primary_key=True),
    Column("secret", String(64), nullable=False),
    Column(
        "db_secret", String(64), nullable=False, comment="Encrypts the device's own database: kept for good."
    ),
    Column("issued_ms", MS, nullable=False),
    Column(
        "imported",
        Boolean,
        nullable=False,
        server_default="0",
        comment="It comes from the original, whose user token is good until the next login.",
    ),
    Column("agent", String(255), nullable=False, server_default="", comment="The User-Agent of the login."),
    Column("name", String(64), nullable=False, server_default="", comment="What the device calls itself."),
    Column(
        "bot",
        Boolean,
        nullable=False,
        server_default="0",
        comment="An administrator made it for a bot; it does not expire.",
    ),
    sqlite_with_rowid=False,
)

bots = Table(
    "bots",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("uid", UID, nullable=False),
    Column("created_ms", MS, nullable=False, comment="When the last token was made."),
    comment="Users that log in by a token, made by an administrator.",
    sqlite_with_rowid=False,
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("digest", few_bytes(32), nullable=False, comment="Of its code; empty if it has none."),
    Column("invitee", String(255), nullable=False, comment="A number, an address or a domain, or empty."),
    Column("places", Integer, nullable=False, comment="How many new users it makes."),
    Column("used", Integer, nullable=False, server_default="0", comment="How many it has made."),
    Column("created_ms", MS, nullable=False),
    Column("expires_ms", MS, nullable=False),
    Index("invitations_digest", "digest"),
    Index("invitations_invitee", "invitee"),
    Index("invitations_expires_ms", "expires_ms"),
    comment="Who may become a user.",
    sqlite_with_rowid=False,
)

oidc_accounts = Table(
    "oidc_accounts",
    metadata,
    Column("account", few_bytes(32), primary_key=True, comment="The SHA-256 of issuer and subject."),
    Column("issuer", String(255), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("uid", UID, nullable=False),
    Column("bound_ms", MS, nullable=False),
    Index("oidc_accounts_uid", "uid"),
    comment="Accounts of another server, and the users who log in with them.",
    sqlite_with_rowid=False,
)

oidc_logins = Table(
    "oidc_logins",
    metadata,
    Column("digest", few_bytes(32), primary_key=True, comment="Of the secret of who logs in."),
    Column("phase", SmallInteger, nullable=False, comment="Phase of fsharechat/oidc"),
    Column("account", Text, nullable=False, comment="JSON; empty until it is known."),
    Column("used_by", String(255), nullable=False, server_default="", comment="Who finished this phase."),
    Column(
        "next_ms", MS, nullable=False, server_default="0", comment="When the provider may be asked again."
    ),
    Column("expires_ms", MS, nullable=False),
    Index("oidc_logins_expires_ms", "expires_ms"),
    comment="Logins by OpenID Connect that are under way.",
    sqlite_with_rowid=False,
)

device_seen = Table(
    "device_seen",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("client_id", String(255), primary_key=True),
    Column("seen_ms", MS, nullable=False),
    comment="When devices were connected last.",
    sqlite_with_rowid=False,
)

login_codes = Table(
    "login_codes",
    metadata,
    Column("number", String(255), primary_key=True),
    Column("digest", few_bytes(32), nullable=False, comment="Of the code; empty when there is none."),
    Column("sent_ms", MS, nullable=False),
    Column("day", Integer, nullable=False, comment="Days since the Unix epoch of `day_count`."),
    Column("day_count", Integer, nullable=False),
    Column("wrong", Integer, nullable=False, comment="Wrong guesses at the code."),
    Column(
        "locked_until_ms",
        MS,
        nullable=False,
        server_default="0",
        comment="Set by the version before, which may still run beside this one.",
    ),
    Column(
        "used_by",
        String(255),
        nullable=False,
        server_default="",
        comment="The client id of the login that used the code; empty while it is unused.",
    ),
    sqlite_with_rowid=False,
)

address_limits = Table(
    "address_limits",
    metadata,
    Column("kind", SmallInteger, primary_key=True, autoincrement=False, comment="Counted"),
    Column("address", String(64), primary_key=True, comment="An IPv4 address, or a /64 network."),
    Column("empty_ms", MS, nullable=False, comment="When all of it is forgotten."),
    Index("address_limits_empty", "empty_ms"),
    sqlite_with_rowid=False,
)

friends = Table(
    "friends",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("friend_uid", UID, primary_key=True),
    Column("state", SmallInteger, nullable=False, comment="FriendState"),
    Column("alias", String(255), nullable=False),
    Column("update_dt", MS, nullable=False),
    Column(
        "beneath",
        SmallInteger,
        nullable=False,
        server_default="1",
        comment="Of a blacklisted user: the FriendState that comes back with its end.",
    ),
    sqlite_with_rowid=False,
)

friend_requests = Table(
    "friend_requests",
    metadata,
    Column("from_uid", UID, primary_key=True),
    Column("to_uid", UID, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("status", SmallInteger, nullable=False, comment="RequestStatus"),
    Column("sent_ms", MS, nullable=False),
    Column("handled_ms", MS, nullable=False, comment="0 while it is open."),
    Column("update_dt", MS, nullable=False),
    Column("from_read", Boolean, nullable=False),
    Column("to_read", Boolean, nullable=False),
    Index("friend_requests_to", "to_uid"),
    sqlite_with_rowid=False,
)

messages = Table(
    "messages",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("sender", UID, nullable=False),
    Column(
        "local_id",
        BigInteger,
        comment="The sender's own id of it, or one that stands for its frame; NULL where no resend is expected.",
    ),
    Column(
        "digest",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Of what a resend has in common with it; 0 where the local id alone says it.",
    ),
    Column("conversation", String(160), nullable=False, comment="See messages.conversation_key."),
    Column("body", BODY, nullable=False, comment="The protobuf Message."),
    Column("client", String(255), comment="The device that sent it, where there is no local id."),
    UniqueConstraint("sender", "local_id", "digest", name="messages_resend"),
    Index("messages_history", "conversation", "id"),
)

directed = Table(
    "directed",
    metadata,
    Column("uid", UID, primary_key=True, comment="Who sent the message, or whom it is for."),
    Column("conversation", String(160), primary_key=True, comment="See messages.conversation_key."),
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    comment="Messages in groups to some of the members.",
    sqlite_with_rowid=False,
)

inbox = Table(
    "inbox",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

writers = Table(
    "writers",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("batch", BigInteger, nullable=False, comment="The last batch that the writer has committed."),
    sqlite_with_rowid=False,
)

heads = Table(
    "heads",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("seq", BigInteger, nullable=False, comment="The last seq of the user's inbox."),
    Column("friends_dt", MS, nullable=False, server_default="0", comment="The version of the friends."),
    Column("requests_dt", MS, nullable=False, server_default="0", comment="The version of friend requests."),
    Column("settings_dt", MS, nullable=False, server_default="0", comment="The version of the settings."),
    Column(
        "delivered_seq", BigInteger, nullable=False, server_default="0", comment="The last delivery report."
    ),
    Column("read_seq", BigInteger, nullable=False, server_default="0", comment="The last read report."),
    Column("recalled_seq", BigInteger, nullable=False, server_default="0", comment="The last recall."),
    Column(
        "asleep",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="1 where logs of groups may have what the inbox has not.",
    ),
    sqlite_with_rowid=False,
)

chat_groups = Table(
    "chat_groups",
    metadata,
    Column("id", UID, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("portrait", Text, nullable=False),
    Column("owner", UID, nullable=False),
    Column("type", SmallInteger, nullable=False, comment="GroupType"),
    Column("extra", Text, nullable=False),
    Column("member_count", Integer, nullable=False, comment="Of those who are not removed."),
    Column("dismissed", Boolean, nullable=False),
    Column("update_dt", MS, nullable=False),
    Column("member_update_dt", MS, nullable=False),
    Column("log_pos", BigInteger, comment="The last of its log; NULL where it has none."),
    Column(
        "log_turn",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="Grows when members fall asleep or wake, so that this cannot pass a message on another server.",
    ),
    comment="Groups of users; `groups` is a reserved word of MySQL.",
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", UID, primary_key=True),
    Column("uid", UID, primary_key=True),
    Column("alias", String(255), nullable=False),
    Column("type", SmallInteger, nullable=False, comment="MemberType; those removed keep their row."),
    Column("joined_ms", MS, nullable=False, comment="When the user became a member, the last time."),
    Column("update_dt", MS, nullable=False),
    Column(
        "silence",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="Silence of those removed: how a silenced member went.",
    ),
    Column(
        "given",
        BigInteger,
        nullable=False,
        server_default="-1",
        comment="The inbox has the group's log up to there; -1 where it has all at once.",
    ),
    Column(
        "silenced_until",
        MS,
        nullable=False,
        server_default="0",
        comment="When the silence of a silenced member ends; 0: it has no end.",
    ),
    Index("group_members_uid", "uid", "type"),
    Index("group_members_given", "group_id", "given", "type"),
    sqlite_with_rowid=False,
)

group_log = Table(
    "group_log",
    metadata,
    Column("group_id", UID, primary_key=True),
    Column("pos", BigInteger, primary_key=True, autoincrement=False),
    Column("message_id", BigInteger, nullable=False),
    Index("group_log_message", "message_id"),
    comment="The messages of groups whose absent members are given them later.",
    sqlite_with_rowid=False,
)

group_log_owed = Table(
    "group_log_owed",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("group_id", UID, primary_key=True),
    Column(
        "given",
        BigInteger,
        primary_key=True,
        autoincrement=False,
        comment="The inbox has the log up to there.",
    ),
    Column("upto", BigInteger, nullable=False, comment="The end of the log when the member left."),
    Index("group_log_owed_group", "group_id"),
    comment="What members who have left are still to be given of a group's log.",
    sqlite_with_rowid=False,
)

call_rooms = Table(
    "call_rooms",
    metadata,
    Column("group_id", UID, primary_key=True),
    Column("id", BigInteger, nullable=False, comment="The message id of its start; no other call has it."),
    Column("call_id", String(255), nullable=False, comment="Made by the client."),
    Column("initiator", UID, nullable=False),
    Column("opened_ms", MS, nullable=False),
    comment="The calls that go on in groups.",
    sqlite_with_rowid=False,
)

call_attendees = Table(
    "call_attendees",
    metadata,
    Column("group_id", UID, primary_key=True),
    Column("uid", UID, primary_key=True),
    Column("attendance", SmallInteger, nullable=False, comment="Attendance"),
    Column("client_id", String(255), nullable=False, comment="The device that is in it."),
    Index("call_attendees_uid", "uid", "attendance"),
    comment="Who was invited to a call in a group, or has started it.",
    sqlite_with_rowid=False,
)

reports = Table(
    "reports",
    metadata,
    Column("uid", UID, primary_key=True, comment="Who is told."),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False, comment="ReportType"),
    Column("conversation", SmallInteger, primary_key=True, autoincrement=False, comment="ConversationType"),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("target", UID, primary_key=True, comment="The conversation as `uid` sees it."),
    Column("reporter", UID, primary_key=True),
    Column("date", MS, nullable=False, comment="Fetched or read up to here."),
    Column("seq", BigInteger, nullable=False, comment="In the reports of that kind for `uid`."),
    Index("reports_seq", "uid", "kind", "seq"),
    sqlite_with_rowid=False,
)

group_reads = Table(
    "group_reads",
    metadata,
    Column("group_id", UID, primary_key=True),
    Column("line", Integer, primary_key=True, autoincrement=False),
    Column("reporter", UID, primary_key=True),
    Column("date", MS, nullable=False, comment="Read up to here."),
    Column("version", MS, nullable=False, comment="In what the members are told (ms)."),
    Column("members_dt", MS, nullable=False, comment="Who became a member after it is not told."),
    Index("group_reads_version", "group_id", "version"),
    comment="Who has read how far in groups.",
    sqlite_with_rowid=False,
)

recalls = Table(
    "recalls",
    metadata,
    Column("uid", UID, primary_key=True, comment="Who has the message."),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="In the recalls for `uid`."),
    Column("message_id", BigInteger, nullable=False),
    Column("operator", UID, nullable=False),
    Column(
        "operator_client",
        String(255),
        nullable=False,
        server_default="",
        comment="The client id of the device that asked for it.",
    ),
    sqlite_with_rowid=False,
)

edits = Table(
    "edits",
    metadata,
    Column("uid", UID, primary_key=True, comment="Who has the message."),
    Column("seq", BigInteger, primary_key=True, autoincrement=False, comment="In the recalls for `uid`."),
    Column("message_id", BigInteger, nullable=False),
    Column("operator", UID, nullable=False),
    Column("operator_client", String(255), nullable=False),
    Index("edits_message", "message_id"),
    comment="The last edit of each message, in the log of the recalls.",
    sqlite_with_rowid=False,
)

reactions = Table(
    "reactions",
    metadata,
    Column("message_id", BigInteger, primary_key=True, autoincrement=False),
    Column("uid", UID, primary_key=True),
    Column("emoji", Text, nullable=False, comment="With a space between them."),
    Column("update_dt", MS, nullable=False),
    sqlite_with_rowid=False,
)

abuse_reports = Table(
    "abuse_reports",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("reporter", UID, nullable=False),
    Column("uid", UID, nullable=False, comment="Who is reported."),
    Column("message_id", BigInteger, nullable=False, comment="0: no message."),
    Column("reason", Text, nullable=False),
    Column("body", BODY, nullable=False, comment="The protobuf Message as it was then; empty: none."),
    Column("created_ms", MS, nullable=False),
    Index("abuse_reports_reporter", "reporter"),
    comment="What users have reported to the administrators.",
)

device_cursors = Table(
    "device_cursors",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("client_id", String(255), primary_key=True),
    Column("kind", SmallInteger, primary_key=True, autoincrement=False, comment="Log"),
    Column("seq", BigInteger, nullable=False, comment="The last one that the device demonstrably has."),
    Column(
        "handed",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="The device was given the log up to there.",
    ),
    sqlite_with_rowid=False,
)

user_settings = Table(
    "user_settings",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("scope", Integer, primary_key=True, autoincrement=False, comment="SettingScope"),
    Column("name", String(255), primary_key=True, comment="The key of the contract."),
    Column("value", Text, nullable=False),
    Column("update_dt", MS, nullable=False),
    sqlite_with_rowid=False,
)

sensitive_words = Table(
    "sensitive_words",
    metadata,
    Column("word", String(255), primary_key=True),
    sqlite_with_rowid=False,
)

robots = Table(
    "robots",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("agent", Text, nullable=False, comment="Its AgentSettings, as JSON."),
    comment="Robots that the back office made; those of the settings are not here.",
    sqlite_with_rowid=False,
)

robot_answers = Table(
    "robot_answers",
    metadata,
    Column("id", String(36), primary_key=True, comment="That of the stream."),
    Column("robot", UID, nullable=False),
    Column("uid", UID, nullable=False, comment="Who has asked."),
    Column("group_id", UID, nullable=False, comment="Empty in a private conversation."),
    Column("node", Integer, nullable=False, comment="The group process that asks the agent."),
    Column("begun_ms", MS, nullable=False),
    comment="Answers of robots that are being written.",
    sqlite_with_rowid=False,
)

uploads = Table(
    "uploads",
    metadata,
    Column("uid", UID, primary_key=True),
    Column("day", Integer, nullable=False, comment="Days since the Unix epoch of `granted`."),
    Column("granted", Integer, nullable=False, comment="Addresses for uploads that the user got that day."),
    sqlite_with_rowid=False,
)

uploaded = Table(
    "uploaded",
    metadata,
    Column("folder", String(64), primary_key=True, comment="The uploader's, see blobs.keys.Uploaders."),
    Column("day", Integer, nullable=False, comment="Days since the Unix epoch of `bytes`."),
    Column("bytes", BigInteger, nullable=False, comment="What was put into the folder that day."),
    sqlite_with_rowid=False,
)

import_notes = Table(
    "import_notes",
    metadata,
    Column("kind", SmallInteger, primary_key=True, autoincrement=False, comment="imports.ImportNote"),
    Column("name", UID, primary_key=True, comment="What it is about, such as a group."),
    Column("uid", UID, primary_key=True),
    Column("number", BigInteger, nullable=False),
    comment="What an import has still to do; empty but for while one runs.",
    sqlite_with_rowid=False,
)

administrators = Table(
    "administrators",
    metadata,
    Column("name", UID, primary_key=True),
    Column("password", String(255), nullable=False, comment="The text of argon2, with its salt."),
    Column("role", SmallInteger, nullable=False, comment="AdminRole"),
    Column("made_ms", MS, nullable=False),
    sqlite_with_rowid=False,
)

admin_sessions = Table(
    "admin_sessions",
    metadata,
    Column("digest", few_bytes(32), primary_key=True, comment="Of the secret in the cookie."),
    Column("name", UID, nullable=False),
    Column("made_ms", MS, nullable=False),
    Column("used_ms", MS, nullable=False, comment="To within a minute."),
    Column("address", String(64), nullable=False),
    Index("admin_sessions_name", "name"),
    comment="Browsers that are logged in to the administration.",
    sqlite_with_rowid=False,
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("request", String(32), nullable=False, comment="So that a repeat is one entry."),
    Column("at_ms", MS, nullable=False),
    Column("way", SmallInteger, nullable=False, comment="Way"),
    Column("actor", String(64), nullable=False),
    Column("op", String(64), nullable=False),
    Column("target", String(255), nullable=False),
    Column("details", Text, nullable=False, comment="JSON, without secrets."),
    Column("address", String(64), nullable=False),
    Column("status", SmallInteger, nullable=False, comment="Of HTTP; 200: done."),
    UniqueConstraint("request", name="audit_log_request"),
    Index("audit_log_at", "at_ms"),
    Index("audit_log_actor", "actor", "id"),
    Index("audit_log_target", "target", "id"),
    comment="What administrators did.",
)

webhook_queue = Table(
    "webhook_queue",
    metadata,
    Column(
        "pos",
        BigInteger().with_variant(Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
        comment="It grows with each transaction that shares a user with another one.",
    ),
    Column("hook", String(64), nullable=False, comment="Its name in the settings."),
    Column("made_ms", MS, nullable=False),
    Column("messages", BODY, nullable=False, comment="The ids of stored messages, 8 bytes each."),
    Column("event", BODY, nullable=False, comment="Another event, as JSON; empty if it is messages."),
    Index("webhook_queue_hook", "hook", "pos"),
    comment="What webhooks are still to tell.",
    sqlite_autoincrement=True,
)
