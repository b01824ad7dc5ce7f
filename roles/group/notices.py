"""The messages that tell the members of a group what has changed (contract.md section 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    TRANSPARENT_TYPES,
    ConversationType,
    MemberType,
    PersistFlag,
)
from fsharechat.store.messages import AS_IT_IS, Audience, NewMessage, conversation_key

_STORED = (PersistFlag.STORED, PersistFlag.STORED_AND_COUNTED)


@dataclass(frozen=True, slots=True)
class Notice:
    """The parts of a request for the message that tells of the change.

    `id` is the id of the message, `now` its time in ms. `content` is the message that the request brought, if any.
    """

    id: int
    now: int
    operator: str
    group_id: str
    line: int = 0
    content: pb.MessageContent | None = None

    def message(
        self,
        kind: int,
        members: Mapping[str, int],
        *,
        name: str | None = None,
        uids: Sequence[str] | None = None,
    ) -> NewMessage:
        """Return the message to `members` (MemberType by uid): the content of the request, or one of type `kind`.

        The content of a silenced user is not used. `name` and `uids` are the changed values, None for other changes.
        """
        content = self.content
        if content is None or members.get(self.operator) == MemberType.SILENCED:
            about = {"g": self.group_id, "o": self.operator, "n": name, "ms": uids}
            data = orjson.dumps({key: value for key, value in about.items() if value is not None})
            content = pb.MessageContent(type=kind, data=data, persist_flag=PersistFlag.STORED)
        where = pb.Conversation(type=ConversationType.GROUP, target=self.group_id, line=self.line)
        message = pb.Message(
            conversation=where,
            from_user=self.operator,
            content=content,
            message_id=self.id,
            server_timestamp=self.now,
        )
        key = conversation_key(where.type, where.line, where.target, self.operator)
        receivers = [uid for uid in members if uid != self.operator]
        audience = Audience(self.group_id, AS_IT_IS)
        body = message.SerializeToString()
        return NewMessage(self.id, self.operator, 0, key, body, receivers, audience=audience)


def brought(content: pb.MessageContent) -> pb.MessageContent | None:
    """Return the notice that a request brought, if it can be stored. Else the server makes one."""
    stored = content.persist_flag in _STORED or not content.HasField("persist_flag")
    return content if content.type > 0 and content.type not in TRANSPARENT_TYPES and stored else None
