"""Makes rows of this store from rows of the original."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError, EncodeError

from fsharechat.login_numbers import normal_number
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import check_content
from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import SYSTEM_TYPES, ContentType, ConversationType
from fsharechat.store.import_messages import ImportedMessage
from fsharechat.store.imports import ImportedUser, ImportNote
from fsharechat.store.messages import conversation_key

GREETING_TIP = "以上是打招呼信息"
"""What the server of the original says behind the text of a friend request."""

MIN_SECRET = 16
"""Characters of a session's secret (contract.md section 3)."""


class UnreadableRow(ValueError):
    """A row that cannot be taken; the text says why."""


def text(value: object) -> str:
    """Return a text column, which may be NULL."""
    return "" if value is None else str(value)


def number(value: Any) -> int:
    """Return a number column, which may be NULL."""
    return int(value or 0)


USER = (
    "_uid",
    "_name",
    "_display_name",
    "_portrait",
    "_mobile",
    "_email",
    "_address",
    "_company",
    "_social",
    "_extra",
    "_gender",
    "_type",
    "_dt",
)


def user(row: Sequence[Any]) -> ImportedUser:
    """Return a row of t_user. It logs in by its mobile number, or else by its e-mail address."""
    uid, name, display_name, portrait, mobile, email, address, company, social, extra = map(text, row[:10])
    gender, kind, dt = map(number, row[10:])
    login = normal_number(mobile or email) or ""
    return ImportedUser(
        uid,
        login,
        name,
        display_name or name,
        portrait,
        mobile,
        email,
        address,
        company,
        social,
        extra,
        gender,
        kind,
        0,
        dt,
    )


SESSION = ("_uid", "_cid", "_secret", "_db_secret", "_dt")
SESSION_HERE = ("uid", "client_id", "secret", "db_secret", "issued_ms", "imported")


def session(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row of t_user_session. Raises UnreadableRow where no device can use it."""
    uid, client_id, secret, db_secret = map(text, row[:4])
    if len(secret) < MIN_SECRET or not client_id:
        raise UnreadableRow("a session without a secret or a client id")
    return uid, client_id, secret, db_secret, max(1, number(row[4])), True


FRIEND = ("_uid", "_friend_uid", "_state", "_alias", "_dt")
FRIEND_HERE = ("uid", "friend_uid", "state", "alias", "update_dt")


def friend(row: Sequence[Any]) -> tuple[Any, ...]:
    return text(row[0]), text(row[1]), number(row[2]), text(row[3]), number(row[4])


REQUEST = ("_uid", "_friend_uid", "_reason", "_status", "_dt", "_from_read_status", "_to_read_status")
REQUEST_HERE = (
    "from_uid",
    "to_uid",
    "reason",
    "status",
    "sent_ms",
    "handled_ms",
    "update_dt",
    "from_read",
    "to_read",
)


def request(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row of t_friend_request. It has one time alone: that of its last change."""
    status, dt = number(row[3]), number(row[4])
    handled = dt if status else 0
    read = bool(row[5]), bool(row[6])
    return text(row[0]), text(row[1]), text(row[2]), status, dt, handled, dt, *read


SETTING = ("_uid", "_scope", "_key", "_value", "_dt")
SETTING_HERE = ("uid", "scope", "name", "value", "update_dt")


def setting(row: Sequence[Any]) -> tuple[Any, ...]:
    return text(row[0]), number(row[1]), text(row[2]), text(row[3]), number(row[4])


GROUP = ("_gid", "_name", "_portrait", "_owner", "_type", "_extra", "_member_count", "_dt", "_member_dt")
GROUP_HERE = (
    "id",
    "name",
    "portrait",
    "owner",
    "type",
    "extra",
    "member_count",
    "dismissed",
    "update_dt",
    "member_update_dt",
)


def group(row: Sequence[Any]) -> tuple[Any, ...]:
    id, name, portrait, owner = map(text, row[:4])
    return (
        id,
        name,
        portrait,
        owner,
        number(row[4]),
        text(row[5]),
        number(row[6]),
        False,
        number(row[7]),
        number(row[8]),
    )


MEMBER = ("_gid", "_mid", "_alias", "_type", "_dt")


def member(row: Sequence[Any]) -> tuple[Any, ...]:
    dt = number(row[4])
    return text(row[0]), text(row[1]), text(row[2]), number(row[3]), dt, dt


MESSAGE = ("_mid", "_from", "_type", "_target", "_line", "_data")

_JOINS = frozenset({ContentType.GROUP_CREATED, ContentType.MEMBERS_ADDED})


class _Notice(NamedTuple):
    """What a notice of a group says: whose change it is, and whom it names."""

    operator: str
    members: tuple[str, ...]


def message(row: Sequence[Any]) -> ImportedMessage:
    """Return a row of t_messages. Raises UnreadableRow."""
    id, sender, kind, target, line = (
        number(row[0]),
        text(row[1]),
        number(row[2]),
        text(row[3]),
        number(row[4]),
    )
    if kind not in (ConversationType.PRIVATE, ConversationType.GROUP):
        raise UnreadableRow("a message of a chat room or a channel")
    if id <= 0 or not sender or not target:
        raise UnreadableRow("a message without an id, a sender or a target")
    made = pb.Message(from_user=sender, message_id=id, server_timestamp=time_of(id))
    made.conversation.type, made.conversation.target, made.conversation.line = kind, target, line
    content = made.content
    try:
        content.ParseFromString(bytes(row[5] or b""))
        check_content(content)
        body = made.SerializeToString()
    except (DecodeError, EncodeError) as error:
        raise UnreadableRow("a message whose content cannot be read") from error
    notes: tuple[tuple[ImportNote, str, str], ...] = ()
    if kind == ConversationType.GROUP:
        if content.type in _JOINS:
            notice = _notice(content.data)
            came = {*notice.members, sender} if content.type == ContentType.GROUP_CREATED else notice.members
            notes = tuple((ImportNote.JOINED, target, uid) for uid in came)
        elif content.type == ContentType.MEMBER_QUIT:
            notes = ((ImportNote.LEFT, target, sender),)
    recalled = content.type == ContentType.RECALLED
    own = content.content == sender if recalled else content.type not in _OF_THE_SERVER
    key = conversation_key(kind, line, target, sender)
    greets = content.type == ContentType.TIP and content.content == GREETING_TIP
    return ImportedMessage(id, sender, key, body, own, recalled, greets, notes)


_OF_THE_SERVER = SYSTEM_TYPES | {ContentType.TIP}


def _notice(data: bytes) -> _Notice:
    try:
        said = orjson.loads(data)
        return _Notice(str(said.get("o", "")), tuple(uid for uid in said.get("ms") or () if type(uid) is str))
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        return _Notice("", ())


def with_id(body: bytes, id: int) -> bytes:
    """Return the body of a message with another id."""
    made = pb.Message.FromString(body)
    made.message_id = id
    return made.SerializeToString()


INBOX = ("_uid", "_seq", "_mid")
