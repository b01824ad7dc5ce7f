"""The objects that a client gives to the application besides protobuf messages: credentials, receipts, events."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.crypto import open_bot_token, open_login_token
from fsharechat.protocol.signals import ContentType, ConversationType, MentionedType, PersistFlag


@dataclass(frozen=True, slots=True)
class Credentials:
    """The result of a login. A device can connect with it until the session is forgotten.

    `user_token`, `secret` and `db_secret` are the parts of the login token (contract.md section 3). `registered`:
    this login created the user.
    """

    user_id: str
    user_token: str = field(repr=False)
    secret: str = field(repr=False)
    db_secret: str = field(repr=False)
    client_id: str
    registered: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the text of `to_json`. Raises ValueError if it is not such a text."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError(f"not credentials: {error}") from error

    @classmethod
    def from_bot_token(cls, token: str) -> Self:
        """Read the token that `fsharechat admin bots create` prints. Raises ValueError if it is none.

        A bot needs no login: it connects with these, until an administrator takes the token back.
        """
        uid, client_id, login_token = open_bot_token(token)
        user_token, secret, db_secret = open_login_token(login_token)
        return cls(uid, user_token, secret, db_secret, client_id)

    def save(self, path: Path) -> None:
        """Write the credentials to a file that only its owner can read."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(self.to_json())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of `save`. Raises OSError if there is no such file, ValueError if it has no credentials."""
        return cls.from_json(path.read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Position:
    """The position of an application in the inbox: it has handled all up to the entry `seq` (1 is the first).

    `message_id` is the message of that entry, 0 if unknown. With it the client finds its place in an answer that
    begins with known entries. Position() is that of a device that has nothing yet.
    """

    seq: int = 0
    message_id: int = 0


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A stored message: its id, and its time (ms since the epoch), both from the server."""

    message_id: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class IceServer:
    """Where calls may be relayed: an entry of WebRTC's `iceServers`. It is good for `ttl` seconds, 0: without end."""

    urls: tuple[str, ...]
    username: str
    credential: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a connection (again). The heads in `ack` show what has changed meanwhile (contract.md section 4)."""

    ack: pb.ConnectAckPayload


@dataclass(frozen=True, slots=True)
class ConnectionLost:
    """The connection broke. The client tries again by itself, unless it was told not to."""

    reason: str


@dataclass(frozen=True, slots=True)
class InboxGap:
    """A pull after `after_seq` left out `missing` entries.

    By contract.md section 6 these can only be calls that this device was given before and messages that it sent
    without a local id. `history` has them.
    """

    after_seq: int
    missing: int


@dataclass(frozen=True, slots=True)
class CallSignal:
    """Something about a call: an event, or what `calls.call_signal` finds in a message.

    `kind` is ContentType.CALL_START to CALL_ANSWER_AUDIO. `call_id` may be empty in groups, which have one call at a
    time. `said` is the JSON of a CALL_SIGNAL: an offer, an answer, a candidate, or what the server says in a group.
    `from_user` may be the user of this client: then another device has answered.
    """

    kind: ContentType
    conversation: pb.Conversation
    from_user: str
    call_id: str
    audio_only: bool
    said: Mapping[str, Any] | None
    message: pb.Message


@dataclass(frozen=True, slots=True)
class Transparent:
    """A message that is stored nowhere, such as typing (contract.md section 6). Those of calls come as CallSignal."""

    message: pb.Message


@dataclass(frozen=True, slots=True)
class MessageRecalled:
    """RMN: `operator` recalled the message `message_id`."""

    message_id: int
    operator: str


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """MEN: `operator`, its sender, gave the message `message_id` a new content. `Client.messages_by_id` has it."""

    message_id: int
    operator: str


@dataclass(frozen=True, slots=True)
class ReactionsChanged:
    """REN: `uid` reacts to the message `message_id` with these emoji now. The highest `version` (ms) counts."""

    message_id: int
    uid: str
    emoji: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class FriendRequestsChanged:
    """FRN: there are friend requests newer than, or of, `version` (ms)."""

    version: int


@dataclass(frozen=True, slots=True)
class FriendsChanged:
    """FN: the list of friends changed at `version` (ms)."""

    version: int


@dataclass(frozen=True, slots=True)
class ReportsChanged:
    """MRN: reports of `type` (1 delivered, 2 read) wait from `head` on: `client.reports.pull(type, head - 1)`.

    With `Options.follow_reports` the client pulls them itself, and MessagesDelivered and MessagesRead come instead.
    """

    head: int
    type: int


@dataclass(frozen=True, slots=True)
class MessagesDelivered:
    """This user's messages to `uid` up to `date` (ms, server time) have reached a device of that user."""

    uid: str
    date: int


@dataclass(frozen=True, slots=True)
class MessagesRead:
    """`uid` has read the conversation up to `date` (ms, server time)."""

    uid: str
    conversation: pb.Conversation
    date: int


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """UN: another device of the user changed a setting at `version` (ms)."""

    version: int


@dataclass(frozen=True, slots=True)
class StreamPart:
    """SAI: a piece of a robot's answer while it is being written."""

    stream_id: str
    delta: str
    done: bool
    robot: str


@dataclass(frozen=True, slots=True)
class MessagesWaiting:
    """MN: messages wait from `head` on. The client answers it itself; applications do not see it."""

    head: int


Notice = (
    MessagesWaiting
    | Transparent
    | MessageRecalled
    | MessageEdited
    | ReactionsChanged
    | FriendRequestsChanged
    | FriendsChanged
    | ReportsChanged
    | SettingsChanged
    | StreamPart
)
"""The notifications of the server."""

Event = (
    Connected
    | ConnectionLost
    | InboxGap
    | Transparent
    | CallSignal
    | MessageRecalled
    | MessageEdited
    | ReactionsChanged
    | FriendRequestsChanged
    | FriendsChanged
    | ReportsChanged
    | MessagesDelivered
    | MessagesRead
    | SettingsChanged
    | StreamPart
)
"""The type of the items of `Client.events`."""


def private(uid: str, line: int = 0) -> pb.Conversation:
    """Return the conversation with one user."""
    return pb.Conversation(type=ConversationType.PRIVATE, target=uid, line=line)


def group(group_id: str, line: int = 0) -> pb.Conversation:
    """Return the conversation of a group."""
    return pb.Conversation(type=ConversationType.GROUP, target=group_id, line=line)


def text(content: str, *, mention: Iterable[str] = (), mention_all: bool = False) -> pb.MessageContent:
    """Return the content of a text message, stored and counted as unread.

    `mention` are the members of a group that it mentions.
    """
    mentioned = [] if mention_all else list(mention)
    made = pb.MessageContent(
        type=ContentType.TEXT,
        searchable_content=content,
        persist_flag=PersistFlag.STORED_AND_COUNTED,
        mentioned_target=mentioned,
    )
    if mention_all or mentioned:
        made.mentioned_type = MentionedType.ALL if mention_all else MentionedType.SOME
    return made


def is_mentioned(message: pb.Message, uid: str) -> bool:
    """Return whether a message mentions `uid`, or everybody."""
    content = message.content
    return content.mentioned_type == MentionedType.ALL or (
        content.mentioned_type == MentionedType.SOME and uid in content.mentioned_target
    )


def conversation_of(message: pb.Message, me: str) -> pb.Conversation:
    """Return the conversation of a message, as the user `me` sees it.

    A private message names its receiver as the target, so for the receiver the conversation is the sender's.
    """
    conversation = message.conversation
    if conversation.type == ConversationType.PRIVATE and message.from_user != me:
        return private(message.from_user, conversation.line)
    return conversation
