"""A server and a screen for tests of the terminal client's chat."""

from typing import Any

from google.protobuf.message import Message

from fsharechat.client import Client
from fsharechat.client.chat import Chat
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import REQUESTS, SubSignal
from tests.unit.client.fake_peer import FRIEND, ME, Answer, stored

STRANGER = "uid-stranger"
GROUP = "group-1"
NOW = 4_000_000_000_000

DONE = frozenset(number for number, row in REQUESTS.items() if row.reply.web == "ok") - {SubSignal.GC}


class FakeChatServer:
    """What the fake peer answers about people and groups."""

    def __init__(self) -> None:
        self.users = {
            ME: pb.User(uid=ME, name="me", display_name="Me", mobile="13800000001"),
            FRIEND: pb.User(uid=FRIEND, name="f", display_name="Bob", mobile="13800000002"),
            STRANGER: pb.User(uid=STRANGER, name="s", mobile="13800000003"),
        }
        self.friends: list[pb.Friend] = []
        self.requests: list[pb.FriendRequest] = []
        self.refusals: dict[SubSignal, int] = {}
        self.history: list[pb.Message] = []
        self.groups: dict[str, pb.GroupInfo] = {}
        self.members: dict[str, list[pb.GroupMember]] = {}
        self.settings: list[pb.UserSettingEntry] = []

    def befriend(self, uid: str, alias: str = "") -> None:
        self.friends.append(pb.Friend(uid=uid, state=0, update_dt=1, alias=alias))

    def request(self, uid: str, reason: str, update_dt: int) -> None:
        self.requests.append(
            pb.FriendRequest(from_uid=uid, to_uid=ME, reason=reason, status=0, update_dt=update_dt)
        )

    def group(self, group_id: str, name: str, *members: str) -> None:
        """Make a group that its first member owns."""
        self.groups[group_id] = pb.GroupInfo(
            target_id=group_id, name=name, type=0, owner=members[0], member_count=len(members)
        )
        self.members[group_id] = [
            pb.GroupMember(member_id=uid, type=2 if uid == members[0] else 0) for uid in members
        ]

    def rule(self, sub: SubSignal, body: Any) -> Answer | None:
        if sub in self.refusals:
            return self.refusals[sub], None
        answer = self._answer(sub, body)
        if answer is None and sub not in DONE:
            return None
        return 0, answer

    def _answer(self, sub: SubSignal, body: Any) -> Message | bytes | None:
        match sub:
            case SubSignal.FP:
                return pb.GetFriendsResult(entry=self.friends)
            case SubSignal.FRP:
                return pb.GetFriendRequestResult(entry=self.requests)
            case SubSignal.UPUI:
                users = [self.users.get(entry.uid) for entry in body.request]
                return pb.PullUserResult(result=[pb.UserResult(user=u, code=0) for u in users if u])
            case SubSignal.US:
                found = [
                    user for user in self.users.values() if body.keyword in (user.mobile, user.display_name)
                ]
                return pb.SearchUserResult(entry=found)
            case SubSignal.LRM:
                return pb.PullMessageResult(message=self.history[: body.count], current=0, head=0)
            case SubSignal.GC:
                info = body.group.group_info
                self.group(info.target_id, info.name, ME, *(one.member_id for one in body.group.members))
                return bytes(info.target_id, "utf-8")
            case SubSignal.GPGI:
                known = [self.groups.get(entry.uid) for entry in body.request]
                return pb.PullGroupInfoResult(info=[info for info in known if info])
            case SubSignal.GPGM:
                return pb.PullGroupMemberResult(member=self.members.get(body.target, []))
            case SubSignal.UG:
                return pb.GetUserSettingResult(entry=self.settings)
            case SubSignal.UP:
                return (7).to_bytes(8, "big")
        return None


class ShownLines:
    """The screen's lines; with `rewrites` they can be changed, as those of a terminal."""

    def __init__(self, rewrites: bool) -> None:
        self.rewrites = rewrites
        self.texts: list[str] = []
        self.strong: list[str] = []
        self._keys: list[int] = []

    def say(self, text: str, *, key: int = 0, strong: bool = False) -> None:
        self.texts.append(text)
        self._keys.append(key)
        if strong:
            self.strong.append(text)

    def change(self, key: int, text: str) -> bool:
        if not self.rewrites or key not in self._keys:
            return False
        self.texts[len(self._keys) - 1 - self._keys[::-1].index(key)] = text
        return True

    def refresh(self) -> None:
        pass


class FakeScreen:
    def __init__(self, client: Client, *, rewrites: bool = True, groups: tuple[str, ...] = ()) -> None:
        self.lines = ShownLines(rewrites)
        self.shown = self.lines.texts
        self.client = client
        self.chat = Chat(client, "a-server", self.lines, groups)

    async def enter(self, line: str) -> list[str]:
        """Enter a line and return what it shows."""
        before = len(self.shown)
        await self.chat.on_line(line)
        await self.chat.finish()
        return self.shown[before:]

    async def receive(self, message: pb.Message) -> list[str]:
        before = len(self.shown)
        await self.chat.on_message(message)
        return self.shown[before:]

    async def completed(self, line: str) -> list[str]:
        """Return what a line could become."""
        return [line[: len(line) - cut] + text for text, cut in await self.chat.complete(line)]


def incoming(text: str, sender: str = FRIEND, message_id: int = 11, **content: Any) -> pb.Message:
    message = stored(message_id, text, sender=sender)
    message.server_timestamp = NOW + message_id
    for name, value in content.items():
        setattr(message.content, name, value)
    return message


def in_group(message: pb.Message, group_id: str = GROUP) -> pb.Message:
    message.conversation.CopyFrom(pb.Conversation(type=1, target=group_id, line=0))
    return message
