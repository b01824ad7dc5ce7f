"""The shared state of the terminal client's commands: people, the open conversation, the shown messages."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from fsharechat.client.chat.known import Key, People, Preferences, Receipts, Rooms
from fsharechat.client.chat.lines import Lines
from fsharechat.client.chat.words import CommandRefused
from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError
from fsharechat.client.models import MessagesDelivered, MessagesRead, is_mentioned
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, ConversationType

HISTORY = 20
MAX_SHOWN = 500
MAX_SENDING = 100


class Screen(Protocol):
    """Shows lines."""

    def say(self, text: str, *, key: int = 0, strong: bool = False) -> None:
        """Show a line, above the prompt if there is one. `key` names it for `change`; 0 is none."""

    def change(self, key: int, text: str) -> bool:
        """Replace a line by another text. Return False if the line is out of reach."""

    def refresh(self) -> None:
        """Show the prompt again: its text may have changed."""


@dataclass(slots=True)
class _Shown:
    """A message that is on the screen."""

    key: Key
    message: pb.Message
    mark: str = ""


class Talk:
    def __init__(self, client: Client, server: str, screen: Screen, groups: Iterable[str]) -> None:
        """`groups` are the ids of known groups."""
        self.client = client
        self.server = server
        self.screen = screen
        self.me = client.user_id
        self.people = People(client)
        self.rooms = Rooms(client, groups)
        self.preferences = Preferences(client)
        self.receipts = Receipts()
        self.lines = Lines(self.me, self.people, self.rooms)
        self.open: pb.Conversation | None = None
        self.unread: Counter[Key] = Counter()
        self.transfers: dict[str, int] = {}
        self._shown: dict[int, _Shown] = {}  # ordered: the oldest goes first
        self._reported: dict[Key, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def say(self, text: str) -> None:
        self.screen.say(text)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a task while the user types. `finish` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    def check(self) -> None:
        """Raise an unexpected error of a background task: a fault of the program."""
        if self._failure is not None:
            raise self._failure

    async def room_for_one(self) -> None:
        """Wait until fewer than MAX_SENDING tasks run."""
        while len(self._tasks) >= MAX_SENDING:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def finish(self) -> None:
        """Wait for all tasks."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.check()

    def opened(self) -> pb.Conversation:
        """Return the open conversation. Raises CommandRefused."""
        if self.open is None:
            raise CommandRefused("You are talking to nobody: /open NAME, or /add NUMBER to find somebody.")
        return self.open

    def opened_group(self) -> str:
        """Return the id of the group that is open. Raises CommandRefused."""
        if self.open is None or self.open.type != ConversationType.GROUP:
            raise CommandRefused("No group is open: /open NAME opens one, /group new NAME MEMBERS makes one.")
        return self.open.target

    def is_open(self, key: Key) -> bool:
        return self.open is not None and key_of(self.open) == key

    def enter(self, conversation: pb.Conversation) -> None:
        """Open a conversation."""
        self.open = conversation
        del self.unread[key_of(conversation)]
        self.say(f"-- talking to {self.title(key_of(conversation))} --")
        self.screen.refresh()
        self.learn_members()

    def learn_members(self) -> None:
        """Ask for the members of the open group in the background, for completion and mentions."""
        if self.open is not None and self.open.type == ConversationType.GROUP:
            self.spawn(self._learn_members(self.open.target))

    async def _learn_members(self, group_id: str) -> None:
        try:
            await self.people.learn(await self.rooms.members(group_id))
        except ClientError:
            return  # asked again when they are needed

    def leave(self, key: Key) -> None:
        """Forget a conversation that has ended."""
        del self.unread[key]
        if self.is_open(key):
            self.open = None
        self.screen.refresh()

    def title(self, key: Key) -> str:
        kind, target = key
        return self.people.name(target) if kind == ConversationType.PRIVATE else self.rooms.name(target)

    async def learned_title(self, conversation: pb.Conversation) -> str:
        """Return the title, asking the server about a stranger or a strange group."""
        if conversation.type == ConversationType.PRIVATE:
            await self.people.name_of(conversation.target)
        else:
            await self.rooms.note(conversation.target)
        return self.title(key_of(conversation))

    async def history(self, conversation: pb.Conversation, count: int = HISTORY) -> None:
        """Show the last messages of the open conversation, and report them as read."""
        found = await self.client.history(conversation, count=count)
        for message in reversed(found):
            await self.lines.learn(message)
            self.show(message, conversation)
        self.mark_read(conversation, found)

    def show(self, message: pb.Message, conversation: pb.Conversation) -> None:
        """Show a message, with a title if its conversation is not open. Its names must be learnt before."""
        key = key_of(conversation)
        shown = _Shown(key, message)
        if self._has_mark(message):
            shown.mark = self.receipts.mark(key, message.server_timestamp)
        self._note(shown)
        strong = message.from_user != self.me and is_mentioned(message, self.me)
        self.screen.say(self._line(shown), key=message.message_id, strong=strong)

    def note(self, message: pb.Message) -> None:
        """Note a message of the open conversation. It may have been shown long ago."""
        if message.message_id not in self._shown:
            self._note(_Shown(key_of(self.opened()), message))

    def _note(self, shown: _Shown) -> None:
        self._shown.pop(shown.message.message_id, None)
        self._shown[shown.message.message_id] = shown
        if len(self._shown) > MAX_SHOWN:
            del self._shown[next(iter(self._shown))]

    def mark_read(self, conversation: pb.Conversation, messages: Iterable[pb.Message]) -> None:
        """Report messages that were just shown as read."""
        key = key_of(conversation)
        since = self._reported.get(key, 0)
        news = [one for one in messages if one.from_user != self.me and one.server_timestamp > since]
        if news:
            date = self._reported[key] = max(message.server_timestamp for message in news)
            self.client.reports.mark_read(conversation, date, {message.from_user for message in news})

    def take_report(self, report: MessagesDelivered | MessagesRead) -> None:
        """Update the marks of own messages after a report."""
        if report.uid == self.me:
            return
        key = self.receipts.take(report)
        last: _Shown | None = None
        for shown in self._shown.values():
            if shown.key != key or not self._has_mark(shown.message):
                continue
            mark = self.receipts.mark(key, shown.message.server_timestamp)
            if mark == shown.mark:
                continue
            shown.mark = mark
            changed = self.screen.change(shown.message.message_id, self._line(shown))
            last = None if changed else shown
        if last is not None:
            self.say(self._line(last))

    async def take_recall(self, message_id: int, operator: str) -> None:
        """Replace a message that was recalled."""
        await self.people.name_of(operator)
        shown = self._shown.get(message_id)
        if shown is None:
            self.say(f"-- {self.lines.who(operator)} recalled a message --")
            return
        recalled = pb.Message()
        recalled.CopyFrom(shown.message)
        recalled.content.CopyFrom(pb.MessageContent(type=ContentType.RECALLED, content=operator))
        shown.message, shown.mark = recalled, ""
        if not self.screen.change(message_id, self._line(shown)):
            self.say(self._line(shown))

    async def take_edit(self, message_id: int) -> None:
        """Replace a message that was edited, if it is shown."""
        shown = self._shown.get(message_id)
        if shown is None:
            return
        for found in await self.client.messages_by_id([message_id]):
            shown.message = found
            if not self.screen.change(message_id, self._line(shown)):
                self.say(self._line(shown))

    def _has_mark(self, message: pb.Message) -> bool:
        """Return whether a message was written by the user, and is no tip or notice."""
        return message.from_user == self.me and message.content.type < ContentType.RECALLED

    def _line(self, shown: _Shown) -> str:
        where = "" if self.is_open(shown.key) else f"[{self.title(shown.key)}] "
        return f"{where}{self.lines.of(shown.message)}{f' {shown.mark}' if shown.mark else ''}"


def key_of(conversation: pb.Conversation) -> Key:
    return conversation.type, conversation.target
