"""Commands about groups."""

from collections.abc import Awaitable, Callable, Iterable

from fsharechat.client.chat.command import Command
from fsharechat.client.chat.friends import friend, state
from fsharechat.client.chat.talk import Talk
from fsharechat.client.chat.words import CommandRefused, listed, split
from fsharechat.client.models import group
from fsharechat.client.transcript import printable
from fsharechat.protocol.signals import ConversationType, GroupType, MemberType

KINDS = {
    GroupType.NORMAL: "members invite and rename, the owner does the rest",
    GroupType.FREE: "members invite and rename, nobody is removed",
    GroupType.RESTRICTED: "only the owner changes it",
}
PLACES = {
    MemberType.OWNER: "owner",
    MemberType.MANAGER: "manager",
    MemberType.SILENCED: "silenced",
}


async def _groups(talk: Talk, rest: str) -> None:
    await talk.rooms.learn(talk.rooms.known, again=True)
    if not talk.rooms.known:
        talk.say("No groups yet: /group new NAME MEMBERS makes one.")
    for group_id in sorted(
        talk.rooms.known,
        key=lambda known: (not talk.preferences.is_on_top(group(known)), talk.rooms.name(known)),
    ):
        talk.say(talk.rooms.name(group_id) + state(talk, ConversationType.GROUP, group_id))


async def _group(talk: Talk, rest: str) -> None:
    action, *words = split(rest) or [""]
    run = ACTIONS.get(action)
    if run is None:
        raise CommandRefused(f"Say what: /group {USAGE}")
    await run(talk, words)


async def _new(talk: Talk, words: list[str]) -> None:
    if not words:
        raise CommandRefused("Say how it is called and who is in it: /group new NAME MEMBERS")
    name, *names = words
    members = [await friend(talk, member) for member in names]
    group_id = await talk.client.groups.create(name, members)
    await talk.rooms.note(group_id)
    talk.enter(group(group_id))


async def _add(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    if not words:
        raise CommandRefused("Say whom: /group add NAMES")
    await talk.client.groups.add(group_id, [await friend(talk, name) for name in words])
    talk.rooms.changed(group_id)
    talk.learn_members()


async def _kick(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    if not words:
        raise CommandRefused("Say whom: /group kick NAMES")
    members = await talk.rooms.members(group_id)
    await talk.people.learn(members)
    chosen: list[str] = []
    for name in words:
        uid = talk.people.find(name, members)
        if uid is None:
            raise CommandRefused(f"Nobody here is called {name}; /group members lists them.")
        chosen.append(uid)
    await talk.client.groups.kick(group_id, chosen)
    talk.rooms.changed(group_id)
    talk.learn_members()


async def _quit(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    name = talk.rooms.name(group_id)
    await talk.client.groups.quit(group_id)
    _gone(talk, group_id)
    talk.say(f"You left {name}.")


async def _dismiss(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    name = talk.rooms.name(group_id)
    if words != ["yes"]:
        raise CommandRefused(f"This ends {name} for all its members; /group dismiss yes does it.")
    await talk.client.groups.dismiss(group_id)
    _gone(talk, group_id)
    talk.say(f"{name} is no more.")


async def _rename(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    if not words:
        raise CommandRefused("Say how: /group rename NEWNAME")
    await talk.client.groups.rename(group_id, " ".join(words))
    await talk.rooms.learn([group_id], again=True)
    talk.screen.refresh()


async def _members(talk: Talk, words: list[str]) -> None:
    group_id = talk.opened_group()
    entries = await talk.client.groups.members(group_id)
    if not entries:
        raise CommandRefused("You are not a member of this group any more.")
    await talk.people.learn(entry.member_id for entry in entries)
    for entry in sorted(entries, key=lambda entry: talk.people.name(entry.member_id)):
        place = PLACES.get(MemberType(entry.type))
        you = " (you)" if entry.member_id == talk.me else ""
        talk.say(f"{talk.people.describe(entry.member_id)}{you}{f', {place}' if place else ''}")


async def _info(talk: Talk, words: list[str]) -> None:
    info = await talk.client.groups.info(talk.opened_group())
    await talk.people.name_of(info.owner)
    talk.say(f"{printable(info.name)}: {info.member_count} members, owned by {talk.lines.who(info.owner)}.")
    kind = KINDS.get(GroupType(info.type))
    talk.say(f"{kind[:1].upper()}{kind[1:]}." if kind else f"A group of type {info.type}.")
    if info.portrait:
        talk.say(f"Picture: {printable(info.portrait)}")


def _gone(talk: Talk, group_id: str) -> None:
    talk.rooms.forget(group_id)
    talk.leave((ConversationType.GROUP, group_id))


def names_of_groups(talk: Talk) -> list[str]:
    return [talk.rooms.name(group_id) for group_id in talk.rooms.known]


def _complete(talk: Talk, words: list[str]) -> Iterable[str]:
    if not words:
        return ACTIONS
    if words[0] == "kick":
        if talk.open is None or talk.open.type != ConversationType.GROUP:
            return []
        return [talk.people.name(uid) for uid in talk.rooms.members_known(talk.open.target)]
    if words[0] == "add" or (words[0] == "new" and len(words) > 1):
        return [talk.people.name(uid) for uid in talk.people.friends]
    return []


ACTIONS: dict[str, Callable[[Talk, list[str]], Awaitable[None]]] = {
    "new": _new,
    "add": _add,
    "kick": _kick,
    "quit": _quit,
    "dismiss": _dismiss,
    "rename": _rename,
    "members": _members,
    "info": _info,
}
USAGE = f"{listed(list(ACTIONS), most=len(ACTIONS)).replace(' and ', ' or ')}"
COMMANDS = [
    Command("groups", "", "the groups you are in, as far as this terminal knows", _groups),
    Command(
        "group", "new NAME MEMBERS", "make a group of friends; quote names with spaces", _group, _complete
    ),
    Command("group", "add|kick NAMES", "add friends to the open group, or remove members", _group, _complete),
    Command("group", "members|info", "its members, or its name, type and owner", _group, _complete),
    Command(
        "group", "rename NAME|quit|dismiss", "change its name, leave it, or end it for all", _group, _complete
    ),
]
