"""The groups the terminal client knows: their names and members.

No request of the contract lists a user's groups. Known groups are those with messages, those that the user made, and
those known in an earlier run; State keeps them.
"""

from collections.abc import Iterable

from fsharechat.client.chat.words import Ambiguous
from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError
from fsharechat.client.transcript import printable
from fsharechat.protocol import messages_pb2 as pb

MAX_ROOMS = 1000


class Rooms:
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
        wanted = name.casefold()
        for matches in (
            [known for known in self.known if self.name(known).casefold() == wanted],
            [known for known in self.known if self.name(known).casefold().startswith(wanted)],
        ):
            if len(matches) > 1:
                raise Ambiguous(", ".join(f"{self.name(found)} ({found})" for found in matches))
            if matches:
                return matches[0]
        return None
