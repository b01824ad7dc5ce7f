"""The chat: the user's input, incoming messages, and the prompt."""

import asyncio
import time
from collections.abc import Iterable

from fsharechat.client.chat import files, friends, groups, messages
from fsharechat.client.chat.command import Command, Proposal, complete
from fsharechat.client.chat.friends import show_new_friends, show_new_requests
from fsharechat.client.chat.known import Key
from fsharechat.client.chat.talk import Screen, Talk, key_of
from fsharechat.client.chat.words import Ambiguous, CommandRefused, Quit, plain
from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError, RequestError
from fsharechat.client.groups import group_notice
from fsharechat.client.models import (
    CallSignal,
    Connected,
    ConnectionLost,
    Event,
    FriendRequestsChanged,
    FriendsChanged,
    InboxGap,
    MessageEdited,
    MessageRecalled,
    MessagesDelivered,
    MessagesRead,
    SettingsChanged,
    Transparent,
    conversation_of,
    is_mentioned,
    private,
)
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, ConversationType

TYPING_EVERY = 4.0
"""The time between two "typing" signs, s."""
TYPING_LASTS = 6.0


class Chat:
    def __init__(self, client: Client, server: str, screen: Screen, groups: Iterable[str] = ()) -> None:
        """`groups` are the ids from `known_groups` in an earlier run."""
        self._talk = Talk(client, server, screen, groups)
        self._client = client
        self._lost = False
        # At the first login of a device the whole inbox comes. Messages older than this are counted, not shown.
        self._new_since = int(time.time() * 1000) if client.position.seq == 0 else 0
        self._typing_told = 0.0
        self._typists: dict[str, asyncio.TimerHandle] = {}

    @property
    def known_groups(self) -> list[str]:
        """The ids of the groups that the user is in, as far as this terminal knows."""
        return list(self._talk.rooms.known)

    async def start(self) -> None:
        """Load friends, groups, requests and settings, and greet."""
        talk = self._talk
        await talk.people.learn([talk.me])
        await talk.people.refresh_friends()
        talk.say(f"You are {talk.people.describe(talk.me)}. /help lists the commands.")
        try:
            await talk.preferences.refresh()
            await talk.rooms.learn(talk.rooms.known)
        except RequestError as error:
            talk.say(f"! Your groups and settings are not known: {plain(error)}")
        await show_new_requests(talk)
        if not talk.people.friends and not talk.people.requests:
            talk.say("You have no friends here yet: /add NUMBER asks somebody.")

    async def finish(self) -> None:
        """Wait for messages that are still being sent, and files that are still being saved."""
        await self._talk.finish()
        for timer in self._typists.values():
            timer.cancel()

    def prompt(self) -> str:
        talk = self._talk
        counted = [(key, count) for key, count in talk.unread.items() if count and not self._is_muted(key)]
        unread = [f"{talk.title(key)} {count}" for key, count in counted]
        states = [
            *(["offline"] if not self._client.connected else []),
            *([", ".join(unread)] if unread else []),
            *(f"{talk.people.name(uid)} is typing" for uid in self._typists),
            *(f"{name} {percent}%" for name, percent in talk.transfers.items()),
        ]
        where = talk.title(key_of(talk.open)) if talk.open is not None else ""
        return "".join(f"({state}) " for state in states) + f"{where}>"

    async def complete(self, line: str) -> list[Proposal]:
        """Return the possible completions of the line that is being typed."""
        return await complete(self._talk, COMMANDS, line)

    def typing(self, line: str) -> None:
        """Tell the other side that the user is typing, now and then."""
        conversation = self._talk.open
        now = time.monotonic()
        if (
            conversation is None
            or conversation.type != ConversationType.PRIVATE
            or not line
            or line.startswith("/")
            or now - self._typing_told < TYPING_EVERY
            or not self._client.connected
        ):
            return
        self._typing_told = now
        self._talk.spawn(self._tell_typing(conversation))

    async def on_line(self, line: str) -> None:
        """Carry out a line that the user entered. Raises Quit."""
        self._talk.check()
        line = line.strip()
        try:
            if line.startswith("/"):
                name, _, rest = line[1:].partition(" ")
                command = COMMANDS.get(name)
                if command is None:
                    raise CommandRefused(f"There is no /{name}; /help lists the commands.")
                await command.run(self._talk, rest.strip())
            elif line:
                await messages.send_text(self._talk, line)
        except Ambiguous as error:
            self._talk.say(f"! Which one: {error}?")
        except CommandRefused as error:
            self._talk.say(f"! {error}")
        except (ClientError, OSError) as error:
            self._talk.say(f"! {plain(error)}")

    async def on_message(self, message: pb.Message) -> None:
        """Show a message that came in."""
        talk = self._talk
        conversation = conversation_of(message, talk.me)
        key = key_of(conversation)
        mine = message.from_user == talk.me
        old = message.server_timestamp < self._new_since
        self._stopped_typing(message.from_user)
        changed = conversation.type == ConversationType.GROUP and group_notice(message) is not None
        if changed:
            talk.rooms.changed(conversation.target)
        await talk.learned_title(conversation)
        if talk.open is None and not mine and not old:
            talk.enter(conversation)
        await talk.lines.learn(message)
        if talk.is_open(key):
            talk.show(message, conversation)
            talk.mark_read(conversation, [message])
        else:
            if not mine:
                talk.unread[key] += 1
                talk.screen.refresh()
            if not old and (not self._is_muted(key) or is_mentioned(message, talk.me)):
                talk.show(message, conversation)
        self._leave_group(message, conversation)
        if changed and talk.is_open(key):
            talk.learn_members()

    async def on_event(self, event: Event) -> None:
        """Show an event."""
        talk = self._talk
        try:
            match event:
                case ConnectionLost(reason):
                    self._lost = True
                    talk.say(f"-- connection lost ({reason}), trying again --")
                case Connected():
                    if self._lost:
                        self._lost = False
                        talk.say("-- connected again --")
                    await show_new_friends(talk)
                    await show_new_requests(talk)
                case FriendsChanged():
                    await show_new_friends(talk)
                case FriendRequestsChanged():
                    await show_new_requests(talk)
                case MessageRecalled(message_id, operator):
                    await talk.take_recall(message_id, operator)
                case MessageEdited(message_id, _):
                    await talk.take_edit(message_id)
                case MessagesDelivered() | MessagesRead():
                    await talk.people.name_of(event.uid)
                    talk.take_report(event)
                case SettingsChanged():
                    await talk.preferences.refresh()
                case CallSignal():
                    await self._on_call(event)
                case Transparent(message):
                    self._on_transparent(message)
                case InboxGap(_, missing):
                    talk.say(f"-- {missing} older messages were left out; /history shows them --")
        except ClientError as error:
            talk.say(f"! {plain(error)}")
        talk.screen.refresh()

    def _is_muted(self, key: Key) -> bool:
        kind, target = key
        return self._talk.preferences.is_muted(pb.Conversation(type=kind, target=target, line=0))

    def _leave_group(self, message: pb.Message, conversation: pb.Conversation) -> None:
        """Forget a group when the message says that the user is no longer in it."""
        notice = group_notice(message)
        if notice is None or conversation.type != ConversationType.GROUP:
            return
        match notice.kind:
            case ContentType.GROUP_DISMISSED:
                gone = True
            case ContentType.MEMBER_QUIT:
                gone = notice.operator == self._talk.me
            case ContentType.MEMBERS_KICKED:
                gone = self._talk.me in notice.members
            case _:
                gone = False
        if gone:
            self._talk.rooms.forget(conversation.target)
            self._talk.leave(key_of(conversation))

    async def _on_call(self, call: CallSignal) -> None:
        talk = self._talk
        if call.kind == ContentType.CALL_BYE and call.conversation.type == ConversationType.GROUP:
            talk.say(f"-- the call in {talk.title(key_of(call.conversation))} is over --")
        elif call.kind == ContentType.CALL_BYE:
            talk.say(f"-- {await talk.people.name_of(call.from_user)} ended the call --")
        elif call.kind == ContentType.CALL_ANSWER and call.from_user == talk.me:
            talk.say("-- you took the call on another device --")

    def _on_transparent(self, message: pb.Message) -> None:
        sender = message.from_user
        if (
            message.content.type == ContentType.TYPING
            and message.conversation.type == ConversationType.PRIVATE
            and self._talk.is_open(key_of(private(sender)))
        ):
            self._stopped_typing(sender)
            loop = asyncio.get_running_loop()
            self._typists[sender] = loop.call_later(TYPING_LASTS, self._stopped_typing, sender)

    def _stopped_typing(self, uid: str) -> None:
        timer = self._typists.pop(uid, None)
        if timer is not None:
            timer.cancel()
            self._talk.screen.refresh()

    async def _tell_typing(self, conversation: pb.Conversation) -> None:
        try:
            await self._client.send_typing(conversation)
        except ClientError:
            return  # only a sign: its loss does no harm


async def _help(talk: Talk, rest: str) -> None:
    width = max(len(f"/{command.name} {command.arguments}") for command in ALL) + 2
    for command in ALL:
        talk.say(f"{f'/{command.name} {command.arguments}':{width}}{command.help}")


async def _who(talk: Talk, rest: str) -> None:
    device = talk.client.credentials.client_id
    talk.say(f"You are {talk.people.describe(talk.me)}, user id {talk.me}, device {device}.")
    talk.say(f"{'Connected' if talk.client.connected else 'Not connected'} to {talk.server}.")
    if talk.open is not None:
        talk.say(f"Talking to {await talk.learned_title(talk.open)}.")


async def _quit(talk: Talk, rest: str) -> None:
    raise Quit


ALL = [
    *messages.COMMANDS,
    *files.COMMANDS,
    *groups.COMMANDS,
    *friends.COMMANDS,
    Command("who", "", "your name, device and server", _who),
    Command("help", "", "this list", _help),
    Command("quit", "", "leave; so does Ctrl-D", _quit),
]
COMMANDS = {command.name: command for command in ALL}
