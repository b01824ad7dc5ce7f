"""Commands about conversations: opening, history, recalls and settings. And sending texts."""

import re
from collections.abc import Iterable

from fsharechat.client.calls import call_signal
from fsharechat.client.chat.command import Command
from fsharechat.client.chat.friends import friend, names_of_friends
from fsharechat.client.chat.groups import names_of_groups
from fsharechat.client.chat.talk import HISTORY, Talk, key_of
from fsharechat.client.chat.words import EVERYBODY, Ambiguous, CommandRefused, plain, unquoted
from fsharechat.client.errors import ClientError
from fsharechat.client.models import SentMessage, group, private, text
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, ConversationType

RECALL_DEPTH = 200


async def send_text(talk: Talk, line: str) -> None:
    """Send a text to the open conversation. The user can type on while the server stores it."""
    conversation = talk.opened()
    content = await _text(talk, conversation, line)
    await talk.room_for_one()
    # The messages leave in the order they were typed.
    talk.spawn(_send_one(talk, conversation, content))


async def _text(talk: Talk, conversation: pb.Conversation, line: str) -> pb.MessageContent:
    """Return the content of a text. In a group, @NAME mentions a member, and @all everybody."""
    if conversation.type != ConversationType.GROUP or "@" not in line:
        return text(line)
    members = await talk.rooms.members(conversation.target)
    await talk.people.learn(members)
    names: dict[str, list[str]] = {name: [] for name in EVERYBODY}
    for uid in members:
        names.setdefault(talk.people.name(uid), []).append(uid)
    longest_first = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    called = re.findall(rf"@({longest_first})(?!\w)", line)
    mention = [uid for name in called for uid in names[name]]
    return text(line, mention=mention, mention_all=any(name in EVERYBODY for name in called))


async def _send_one(talk: Talk, conversation: pb.Conversation, content: pb.MessageContent) -> None:
    try:
        receipt = await talk.client.send(conversation, content)
    except ClientError as error:
        talk.say(f"! Not sent: {content.searchable_content!r}: {plain(error)}")
    else:
        sent(talk, conversation, content, receipt)


def sent(talk: Talk, conversation: pb.Conversation, content: pb.MessageContent, receipt: SentMessage) -> None:
    """Show an own message after it was stored."""
    message = pb.Message(
        conversation=conversation,
        from_user=talk.me,
        content=content,
        message_id=receipt.message_id,
        server_timestamp=receipt.timestamp,
    )
    talk.show(message, conversation)


async def _open(talk: Talk, rest: str) -> None:
    name = unquoted(rest)
    if not name:
        raise CommandRefused("Say whom: /open NAME")
    group_id = talk.rooms.find(name)
    uid = talk.people.find(name, talk.people.friends)
    if uid is not None and group_id is not None:
        exact = [
            found
            for found, title in (
                (private(uid), talk.people.name(uid)),
                (group(group_id), talk.rooms.name(group_id)),
            )
            if title.casefold() == name.casefold()
        ]
        if len(exact) != 1:
            raise Ambiguous(
                f"{talk.people.describe(uid)}, or the group {talk.rooms.name(group_id)} ({group_id})"
            )
        conversation = exact[0]
    elif group_id is not None:
        conversation = group(group_id)
    else:
        conversation = private(await _friend(talk, name))
    talk.enter(conversation)
    await talk.history(conversation)


async def _friend(talk: Talk, name: str) -> str:
    try:
        return await friend(talk, name)
    except CommandRefused:
        raise CommandRefused(
            f"None of your friends is called {name}, and none of your groups; /friends and /groups list them."
        ) from None


def _conversations(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else [*names_of_friends(talk, words), *names_of_groups(talk)]


async def _history(talk: Talk, rest: str) -> None:
    if rest and not (rest.isdecimal() and int(rest)):
        raise CommandRefused("Say how many: /history N")
    await talk.history(talk.opened(), int(rest or HISTORY))


async def _recall(talk: Talk, rest: str) -> None:
    if rest and not (rest.isdecimal() and int(rest)):
        raise CommandRefused("Say which: /recall N, where 1 is the last one you sent here")
    wanted = int(rest or 1)
    await talk.finish()  # the last message may still be on its way
    found = await talk.client.history(talk.opened(), count=RECALL_DEPTH)
    mine = [message for message in found if message.from_user == talk.me and _is_recallable(message)]
    if len(mine) < wanted:
        raise CommandRefused(
            "You have sent nothing here that could be taken back."
            if not mine
            else f"You have sent only {len(mine)} of the last messages here."
        )
    await talk.client.recall(mine[wanted - 1].message_id)
    talk.note(mine[wanted - 1])
    await talk.take_recall(mine[wanted - 1].message_id, talk.me)


async def _edit(talk: Talk, rest: str) -> None:
    if not rest:
        raise CommandRefused("Say how it should read: /edit TEXT")
    await talk.finish()
    found = await talk.client.history(talk.opened(), count=RECALL_DEPTH)
    mine = (one for one in found if one.from_user == talk.me and one.content.type == ContentType.TEXT)
    last = next(mine, None)
    if last is None:
        raise CommandRefused("You have sent no text here lately.")
    last.content.searchable_content = rest
    await talk.client.edit(last.message_id, last.content)
    talk.note(last)
    await talk.take_edit(last.message_id)


async def _decline(talk: Talk, rest: str) -> None:
    conversation = talk.opened()
    found = await talk.client.history(conversation, count=RECALL_DEPTH)
    calls = (call_signal(message, talk.me) for message in found if message.from_user != talk.me)
    call = next((call for call in calls if call is not None), None)
    if call is None:
        raise CommandRefused("Nobody has called here.")
    if conversation.type == ConversationType.GROUP:
        await talk.client.calls.leave(conversation)
    else:
        await talk.client.calls.hang_up(conversation, call.call_id)


def _is_recallable(message: pb.Message) -> bool:
    return message.content.type < ContentType.RECALLED


async def _mute(talk: Talk, rest: str) -> None:
    conversation = talk.opened()
    muted = _switch(rest, talk.preferences.is_muted(conversation), "/mute [on|off]")
    await talk.preferences.set_muted(conversation, muted)
    title = talk.title(key_of(conversation))
    talk.say(f"{title} is muted: new messages are counted, not shown." if muted else f"{title} is not muted.")


async def _top(talk: Talk, rest: str) -> None:
    conversation = talk.opened()
    on_top = _switch(rest, talk.preferences.is_on_top(conversation), "/top [on|off]")
    await talk.preferences.set_on_top(conversation, on_top)
    talk.say(f"{talk.title(key_of(conversation))} is {'on top of the lists' if on_top else 'not on top'}.")


def _switch(word: str, now: bool, usage: str) -> bool:
    """Return the new value of a setting: the given one, else the opposite of the present one."""
    if word not in ("", "on", "off"):
        raise CommandRefused(f"Say {usage}")
    return word == "on" if word else not now


def _switches(talk: Talk, words: list[str]) -> Iterable[str]:
    return [] if words else ["on", "off"]


COMMANDS = [
    Command("open", "NAME", "talk to a friend or a group; your texts then go there", _open, _conversations),
    Command("history", "[N]", f"the last N messages of this conversation ({HISTORY})", _history),
    Command("recall", "[N]", "take back the last message you sent here, or the Nth from the end", _recall),
    Command("edit", "TEXT", "give the last text you sent here these words", _edit),
    Command("decline", "", "do not take the call that came last in this conversation", _decline),
    Command("mute", "[on|off]", "count new messages here without showing them", _mute, _switches),
    Command("top", "[on|off]", "keep this conversation on top of the lists", _top, _switches),
]
