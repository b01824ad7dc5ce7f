"""What the terminal client knows: people, groups, settings of conversations, and receipts."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from fsharechat.client.chat.words import Ambiguous
from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError
from fsharechat.client.models import MessagesDelivered, MessagesRead
from fsharechat.client.transcript import printable
from fsharechat.client.user_settings import ON, conversation_key
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ConversationType, FriendState, RequestStatus, SettingScope


def _named(
    name: str, among: Iterable[str], name_of: Callable[[str], str], describe: Callable[[str], str]
) -> str | None:
    """Return the id among these with a name. A unique beginning of a name is enough. Raises Ambiguous."""
    wanted, names = name.casefold(), {id: name_of(id).casefold() for id in among}
    for matches in (
        [id for id, called in names.items() if called == wanted],
        [id for id, called in names.items() if called.startswith(wanted)],
    ):
        if len(matches) > 1:
            raise Ambiguous(", ".join(map(describe, matches)))
        if matches:
            return matches[0]
    return None


class People:
    """Friends, their names, and open friend requests."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._users: dict[str, pb.User] = {}
        self.friends: dict[str, pb.Friend] = {}
        self.blocked: dict[str, pb.Friend] = {}
        self.requests: dict[tuple[str, str], pb.FriendRequest] = {}

    async def refresh_friends(self) -> list[str]:
        """Ask for the friends. Return the uids of those that are new since the last time."""
        entries = await self._client.friends()
        known = {*self.friends, *self.blocked}
        self.friends = {entry.uid: entry for entry in entries if entry.state == FriendState.FRIEND}
        self.blocked = {entry.uid: entry for entry in entries if entry.state == FriendState.BLACKLISTED}
        new = [uid for uid in self.friends if uid not in known]
        await self.learn(new, again=True)  # a friend sees more of a profile than a stranger
        await self.learn([*self.friends, *self.blocked])
        return new

    async def refresh_requests(self) -> list[pb.FriendRequest]:
        """Ask for the friend requests. Return the open ones to this user that are new since the last time."""
        entries = await self._client.friend_requests()
        known, self.requests = self.requests, {(entry.from_uid, entry.to_uid): entry for entry in entries}
        await self.learn(uid for entry in entries for uid in (entry.from_uid, entry.to_uid))
        return [
            entry
            for entry in self.open_requests()
            if (old := known.get((entry.from_uid, entry.to_uid))) is None or old.update_dt != entry.update_dt
        ]

    def others(self) -> list[str]:
        """Return all known people, friends first."""
        return [
            *self.friends,
            *(uid for uid in self._users if uid not in self.friends and uid != self._client.user_id),
        ]

    def open_requests(self) -> list[pb.FriendRequest]:
        """Return the requests this user may answer, newest first."""
        mine = [
            entry
            for entry in self.requests.values()
            if entry.to_uid == self._client.user_id and entry.status == RequestStatus.SENT
        ]
        return sorted(mine, key=lambda entry: entry.update_dt, reverse=True)

    async def learn(self, uids: Iterable[str], *, again: bool = False) -> None:
        """Ask for the users among `uids` that are not known yet, or for all of them."""
        wanted = sorted({uid for uid in uids if again or uid not in self._users})
        if wanted:
            for user in await self._client.user_infos(wanted):
                self._users[user.uid] = user

    async def name_of(self, uid: str) -> str:
        """Return a name to show. Ask the server about a stranger; without a connection it is the uid."""
        try:
            await self.learn([uid])
        except ClientError:
            return self.name(uid)
        return self.name(uid)

    def name(self, uid: str) -> str:
        """Return the alias, else the display name, else the number, else the uid."""
        friend = self.friends.get(uid) or self.blocked.get(uid)
        if friend is not None and friend.alias:
            return printable(friend.alias)
        user = self._users.get(uid)
        if user is None:
            return printable(uid)
        return printable(user.display_name or user.mobile or user.name or uid)

    def find(self, name: str, among: Iterable[str]) -> str | None:
        """Return the uid among these with this name, number, or uid. A unique beginning of a name is enough.

        Raises Ambiguous.
        """
        uids = list(among)
        for uid in uids:
            if uid == name or (uid in self._users and self._users[uid].mobile == name):
                return uid
        return _named(name, uids, self.name, self.describe)

    def describe(self, uid: str) -> str:
        """Return the name, with the number if that helps."""
        user = self._users.get(uid)
        name = self.name(uid)
        return f"{name} ({user.mobile})" if user is not None and user.mobile not in ("", name) else name


MAX_ROOMS = 1000


class Rooms:
    """The groups that are known, their names and members.

    No request of the contract lists a user's groups. Known groups are those with messages, those that the user made,
    and those known in an earlier run; State keeps them.
    """

    def __init__(self, client: Client, known: Iterable[str]) -> None:
        self._client = client
        self.known: dict[str, None] = dict.fromkeys(known)  # ordered: the longest known goes first
        self._infos: dict[str, pb.GroupInfo] = {}
        self._members: dict[str, list[str]] = {}

    async def note(self, group_id: str) -> None:
        """Note a group, and learn its name."""
        self.known[group_id] = None
        if len(self.known) > MAX_ROOMS:
            self.forget(next(iter(self.known)))
        try:
            await self.learn([group_id])
        except ClientError:
            return  # its id is shown until there is a connection again

    async def learn(self, group_ids: Iterable[str], *, again: bool = False) -> None:
        """Ask for the groups among these that are not known yet, or for all of them."""
        wanted = sorted({found for found in group_ids if again or found not in self._infos})
        if wanted:
            for info in await self._client.groups.infos(wanted):
                self._infos[info.target_id] = info

    def changed(self, group_id: str) -> None:
        """Forget the facts about a group, because it has changed."""
        self._infos.pop(group_id, None)
        self._members.pop(group_id, None)

    def forget(self, group_id: str) -> None:
        """Drop a group that the user is no longer in."""
        self.known.pop(group_id, None)
        self._members.pop(group_id, None)

    async def members(self, group_id: str) -> list[str]:
        """Return the uids of a group's members, empty if the user is not a member."""
        if group_id not in self._members:
            entries = await self._client.groups.members(group_id)
            self._members[group_id] = [entry.member_id for entry in entries]
        return self._members[group_id]

    def members_known(self, group_id: str) -> list[str]:
        """Return the members, if they were asked for already."""
        return self._members.get(group_id, [])

    def info(self, group_id: str) -> pb.GroupInfo | None:
        return self._infos.get(group_id)

    def name(self, group_id: str) -> str:
        """Return the name, else the id."""
        info = self._infos.get(group_id)
        return printable(info.name) if info is not None and info.name else f"group {printable(group_id)}"

    def find(self, name: str) -> str | None:
        """Return the known group with this name or id. A unique beginning of a name is enough. Raises Ambiguous."""
        if name in self.known:
            return name
        return _named(name, self.known, self.name, lambda found: f"{self.name(found)} ({found})")


class Preferences:
    """The user's settings of conversations, which all devices share: muted, and on top."""

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


Key = tuple[int, str]
"""A conversation: its type and its target."""

DELIVERED = "✓"
READ = "✓✓"


class Receipts:
    """Receipts for own messages, shown as marks after them: ✓ delivered, ✓✓ read."""

    def __init__(self) -> None:
        self._delivered: dict[str, int] = {}
        self._read: defaultdict[Key, dict[str, int]] = defaultdict(dict)

    def take(self, report: MessagesDelivered | MessagesRead) -> Key:
        """Note a report, and return its conversation."""
        if isinstance(report, MessagesDelivered):
            self._delivered[report.uid] = max(report.date, self._delivered.get(report.uid, 0))
            return ConversationType.PRIVATE, report.uid
        key = report.conversation.type, report.conversation.target
        dates = self._read[key]
        dates[report.uid] = max(report.date, dates.get(report.uid, 0))
        return key

    def mark(self, key: Key, timestamp: int) -> str:
        """Return the mark of an own message with this time (ms). In a group it counts the readers."""
        kind, target = key
        dates = self._read.get(key, {})
        if kind != ConversationType.PRIVATE:
            readers = sum(date >= timestamp for date in dates.values())
            return f"{READ}{readers}" if readers else ""
        if dates.get(target, 0) >= timestamp:
            return READ
        return DELIVERED if self._delivered.get(target, 0) >= timestamp else ""
