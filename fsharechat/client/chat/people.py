"""The people that the terminal client knows: friends, names, and open friend requests."""

from collections.abc import Iterable

from fsharechat.client.chat.words import Ambiguous
from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError
from fsharechat.client.transcript import printable
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import FriendState, RequestStatus


class People:
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
        wanted = name.casefold()
        for uid in uids:
            if uid == name or (uid in self._users and self._users[uid].mobile == name):
                return uid
        for matches in (
            [uid for uid in uids if self.name(uid).casefold() == wanted],
            [uid for uid in uids if self.name(uid).casefold().startswith(wanted)],
        ):
            if len(matches) > 1:
                raise Ambiguous(", ".join(self.describe(uid) for uid in matches))
            if matches:
                return matches[0]
        return None

    def describe(self, uid: str) -> str:
        """Return the name, with the number if that helps."""
        user = self._users.get(uid)
        name = self.name(uid)
        return f"{name} ({user.mobile})" if user is not None and user.mobile not in ("", name) else name
