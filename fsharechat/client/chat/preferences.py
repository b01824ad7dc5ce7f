"""The user's settings of conversations, which all devices share: muted, and on top."""

from fsharechat.client.client import Client
from fsharechat.client.user_settings import ON, conversation_key
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SettingScope


class Preferences:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._version = 0
        self._on: set[tuple[int, str]] = set()

    async def refresh(self) -> None:
        """Ask for changed settings."""
        for entry in await self._client.settings.pull(self._version):
            self._take(entry.scope, entry.key, entry.value)
            self._version = max(self._version, entry.update_dt)

    def is_muted(self, conversation: pb.Conversation) -> bool:
        return (SettingScope.CONVERSATION_MUTED, conversation_key(conversation)) in self._on

    def is_on_top(self, conversation: pb.Conversation) -> bool:
        return (SettingScope.CONVERSATION_ON_TOP, conversation_key(conversation)) in self._on

    async def set_muted(self, conversation: pb.Conversation, on: bool) -> None:
        await self._client.settings.set_muted(conversation, on)
        self._take(SettingScope.CONVERSATION_MUTED, conversation_key(conversation), ON if on else "")

    async def set_on_top(self, conversation: pb.Conversation, on: bool) -> None:
        await self._client.settings.set_on_top(conversation, on)
        self._take(SettingScope.CONVERSATION_ON_TOP, conversation_key(conversation), ON if on else "")

    def _take(self, scope: int, key: str, value: str) -> None:
        (self._on.add if value == ON else self._on.discard)((scope, key))
