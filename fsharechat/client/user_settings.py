"""The user's settings, which all devices share (contract.md sections 7 and 8)."""

from fsharechat.client.errors import InvalidReply
from fsharechat.client.transport import SendRequest, ask
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SettingScope, SubSignal

ON = "1"
OFF = "0"


class UserSettings:
    """`Client.settings`. SettingsChanged says that another device has changed one."""

    def __init__(self, request: SendRequest) -> None:
        """`request` is Client.request."""
        self._request = request

    async def pull(self, since: int = 0) -> list[pb.UserSettingEntry]:
        """Return the settings changed after the version `since` (0: all). Off is "0"; one never set is missing."""
        result = await ask(self._request, SubSignal.UG, pb.Version(version=since), pb.GetUserSettingResult)
        return list(result.entry)

    async def put(self, scope: int, key: str, value: str) -> int:
        """Store one setting and return the new version (ms)."""
        reply = await self._request(SubSignal.UP, pb.ModifyUserSettingReq(scope=scope, key=key, value=value))
        if not isinstance(reply, bytes) or len(reply) != 8:
            raise InvalidReply("UP: the version has 8 bytes")
        return int.from_bytes(reply, "big")

    async def set_muted(self, conversation: pb.Conversation, muted: bool) -> int:
        """Mute a conversation, or unmute it."""
        key = conversation_key(conversation)
        return await self.put(SettingScope.CONVERSATION_MUTED, key, ON if muted else OFF)

    async def set_on_top(self, conversation: pb.Conversation, on_top: bool) -> int:
        """Keep a conversation on top, or stop that."""
        key = conversation_key(conversation)
        return await self.put(SettingScope.CONVERSATION_ON_TOP, key, ON if on_top else OFF)

    async def set_saved(self, group_id: str, saved: bool) -> int:
        """Save a group to the contacts, or take it out."""
        return await self.put(SettingScope.GROUP_SAVED, group_id, ON if saved else OFF)


def conversation_key(conversation: pb.Conversation) -> str:
    """Return the key of a conversation's settings."""
    return f"{conversation.type}-{conversation.line}-{conversation.target}"
