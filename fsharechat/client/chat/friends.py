"""Commands about people: finding them, making friends, and names."""

from collections.abc import Iterable

from fsharechat.client.chat.command import Command
from fsharechat.client.chat.talk import Talk
from fsharechat.client.chat.words import Ambiguous, CommandRefused, clock, split, unquoted
from fsharechat.client.models import private
from fsharechat.client.transcript import printable
from fsharechat.protocol.signals import ConversationType, InfoType, RequestStatus

STATUS = {
    RequestStatus.SENT: "open",
    RequestStatus.ACCEPTED: "accepted",
    RequestStatus.REJECTED: "rejected",
}


async def show_new_friends(talk: Talk) -> None:
    """Tell of friends that are new since the last time."""
    for uid in await talk.people.refresh_friends():
        talk.say(f"{talk.people.describe(uid)} is now your friend: /open {talk.people.name(uid)}")
        if talk.open is None:
            talk.enter(private(uid))


async def show_new_requests(talk: Talk) -> None:
    """Tell of friend requests that are new since the last time."""
    for entry in await talk.people.refresh_requests():
        name = talk.people.describe(entry.from_uid)
        talk.say(f"{name} wants to be your friend: {printable(entry.reason)}  (/accept or /reject)")


async def friend(talk: Talk, name: str) -> str:
    """Return the uid of a friend. Raises CommandRefused."""
    uid = talk.people.find(name, talk.people.friends)
    if uid is None:
        await talk.people.refresh_friends()
        uid = talk.people.find(name, talk.people.friends)
    if uid is None:
        raise CommandRefused(f"None of your friends is called {name}; /friends lists them.")
    return uid


def names_of_friends(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else [talk.people.name(uid) for uid in talk.people.friends]


async def _add(talk: Talk, rest: str) -> None:
    keyword, _, reason = rest.partition(" ")
    if not keyword:
        raise CommandRefused("Say whom: /add NUMBER|NAME [reason]")
    users = [user for user in await talk.client.search_users(keyword) if user.uid != talk.me]
    exact = [user for user in users if user.mobile == keyword]
    found = exact or users
    if not found:
        raise CommandRefused(f"Nobody found for {keyword}.")
    await talk.people.learn([user.uid for user in found])
    if len(found) > 1:
        raise Ambiguous(", ".join(talk.people.describe(user.uid) for user in found))
    uid = found[0].uid
    if uid in talk.people.friends:
        raise CommandRefused(f"{talk.people.name(uid)} is your friend already: /open {talk.people.name(uid)}")
    await talk.client.add_friend(uid, reason.strip() or f"Hello, I am {talk.people.name(talk.me)}.")
    talk.say(f"Asked {talk.people.describe(uid)}; you are told when the answer comes.")


async def _requests(talk: Talk, rest: str) -> None:
    await talk.people.refresh_requests()
    entries = sorted(talk.people.requests.values(), key=lambda entry: entry.update_dt)
    if not entries:
        talk.say("No friend requests.")
        return
    for entry in entries:
        mine = entry.from_uid == talk.me
        other = entry.to_uid if mine else entry.from_uid
        status = STATUS.get(RequestStatus(entry.status), "")
        talk.say(
            f"{clock(entry.update_dt)} {'to' if mine else 'from'} {talk.people.describe(other)}: "
            f"{printable(entry.reason)} ({status})"
        )
    await talk.client.mark_requests_read(entries[-1].update_dt)


async def _accept(talk: Talk, rest: str) -> None:
    await _answer(talk, unquoted(rest), RequestStatus.ACCEPTED)


async def _reject(talk: Talk, rest: str) -> None:
    await _answer(talk, unquoted(rest), RequestStatus.REJECTED)


async def _answer(talk: Talk, name: str, status: RequestStatus) -> None:
    await talk.people.refresh_requests()
    waiting = [entry.from_uid for entry in talk.people.open_requests()]
    if not waiting:
        raise CommandRefused("There is no open friend request.")
    uid = talk.people.find(name, waiting) if name else waiting[0]
    if uid is None:
        raise CommandRefused(f"There is no open request from {name}; /requests lists them.")
    await talk.client.handle_friend_request(uid, status)
    if status is RequestStatus.REJECTED:
        talk.say(f"Rejected {talk.people.name(uid)}.")
        return
    await show_new_friends(talk)


def _waiting(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else [talk.people.name(entry.from_uid) for entry in talk.people.open_requests()]


async def _friends(talk: Talk, rest: str) -> None:
    await talk.people.refresh_friends()
    await talk.people.learn(talk.people.friends, again=True)
    if not talk.people.friends:
        talk.say("No friends yet: /add NUMBER asks somebody.")
    for uid in sorted(
        talk.people.friends,
        key=lambda uid: (not talk.preferences.is_on_top(private(uid)), talk.people.name(uid)),
    ):
        talk.say(talk.people.describe(uid) + state(talk, ConversationType.PRIVATE, uid))


def state(talk: Talk, kind: ConversationType, target: str) -> str:
    """Return the state of a conversation for lists: unread messages, on top, muted."""
    conversation = private(target)
    conversation.type = kind
    unread = talk.unread[kind, target]
    told = (
        f", {unread} unread" if unread else "",
        ", on top" if talk.preferences.is_on_top(conversation) else "",
        ", muted" if talk.preferences.is_muted(conversation) else "",
    )
    return "".join(told)


async def _name(talk: Talk, name: str) -> None:
    if not name:
        raise CommandRefused("Say which: /name NEWNAME")
    await talk.client.modify_my_info(InfoType.DISPLAY_NAME, unquoted(name))
    await talk.people.learn([talk.me], again=True)
    talk.say(f"You are now called {talk.people.name(talk.me)}.")


async def _alias(talk: Talk, rest: str) -> None:
    words = split(rest)
    if len(words) != 2:
        raise CommandRefused('Say whom and how: /alias NAME ALIAS, with quotes around "names with spaces"')
    uid = await friend(talk, words[0])
    before = talk.people.name(uid)
    await talk.client.set_alias(uid, words[1])
    await talk.people.refresh_friends()
    talk.say(f"{before} is now {talk.people.name(uid)}.")


async def _unfriend(talk: Talk, name: str) -> None:
    uid = await friend(talk, unquoted(name))
    await talk.client.delete_friend(uid)
    await talk.people.refresh_friends()
    talk.say(f"{talk.people.describe(uid)} is not your friend any more.")


async def _block(talk: Talk, name: str) -> None:
    uid = talk.people.find(unquoted(name), talk.people.others()) if name else None
    if uid is None:
        raise CommandRefused("Say whom, a friend or somebody who wrote to you: /block NAME")
    await talk.client.blacklist(uid)
    await talk.people.refresh_friends()
    talk.say(f"{talk.people.describe(uid)} cannot reach you any more; /unblock undoes this.")


async def _unblock(talk: Talk, name: str) -> None:
    name = unquoted(name)
    uid = talk.people.find(name, talk.people.blocked) if name else None
    if uid is None:
        await talk.people.refresh_friends()
        uid = talk.people.find(name, talk.people.blocked) if name else None
    if uid is None:
        blocked = ", ".join(talk.people.describe(uid) for uid in talk.people.blocked)
        raise CommandRefused(f"Say whom: /unblock NAME. You have blocked {blocked or 'nobody'}.")
    await talk.client.blacklist(uid, on=False)
    await talk.people.refresh_friends()
    talk.say(f"{talk.people.describe(uid)} may write to you again.")


def _blocked(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else [talk.people.name(uid) for uid in talk.people.blocked]


def _others(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else [talk.people.name(uid) for uid in talk.people.others()]


COMMANDS = [
    Command("add", "NUMBER|NAME [reason]", "ask somebody to be friends", _add),
    Command("requests", "", "friend requests, sent and received", _requests),
    Command("accept", "[NAME]", "agree to a request; without a name to the newest one", _accept, _waiting),
    Command("reject", "[NAME]", "refuse a request", _reject, _waiting),
    Command("friends", "", "your friends, with the number of unread messages", _friends),
    Command(
        "alias", "NAME ALIAS", "your own name for a friend; quote names with spaces", _alias, names_of_friends
    ),
    Command("unfriend", "NAME", "end a friendship, for both of you", _unfriend, names_of_friends),
    Command("block", "NAME", "stop somebody from writing to you, calling or asking you", _block, _others),
    Command("unblock", "NAME", "let somebody write to you again", _unblock, _blocked),
    Command("name", "NEWNAME", "your display name", _name),
]
