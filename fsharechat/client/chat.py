"""The conversation of the terminal client: its commands, what it shows, and what is unread."""

import asyncio
import shlex
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from fsharechat.client.client import Client
from fsharechat.client.errors import ClientError, Disconnected, RequestError, RequestTimeout, SendUnconfirmed
from fsharechat.client.models import (
    Connected,
    ConnectionLost,
    Event,
    FriendRequestsChanged,
    FriendsChanged,
    InboxGap,
    MessageRecalled,
    conversation_of,
    private,
)
from fsharechat.client.people import Ambiguous, People, printable
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, ConversationType, InfoType, RequestStatus

HELP = """/add NUMBER|NAME [reason]  ask somebody to be friends
/requests                  friend requests, sent and received
/accept [NAME]  /reject [NAME]   answer a request; without a name the newest one
/friends                   your friends, with the number of unread messages
/open NAME                 talk to a friend; what you type then goes there
/history [N]               the last N messages of this conversation (20)
/name NEWNAME              your display name
/alias NAME ALIAS          your own name for a friend; quote names with spaces
/who                       who you are, and where
/quit                      leave; so does Ctrl-D"""

KINDS: dict[int, str] = {
    ContentType.VOICE: "voice",
    ContentType.IMAGE: "image",
    ContentType.LOCATION: "location",
    ContentType.FILE: "file",
    ContentType.VIDEO: "video",
    ContentType.STICKER: "sticker",
    ContentType.CALL_START: "call",
}
STATUS = {
    RequestStatus.SENT: "open",
    RequestStatus.ACCEPTED: "accepted",
    RequestStatus.REJECTED: "rejected",
}
HISTORY = 20
MAX_SENDING = 100
Key = tuple[int, str]


class Quit(Exception):
    """The user wants to leave."""


class Refused(Exception):
    """A command cannot be done; the text says why in plain words."""


class Chat:
    def __init__(
        self, client: Client, server: str, say: Callable[[str], None], refresh: Callable[[], None]
    ) -> None:
        """`say` shows a line, `refresh` is called when `prompt` has changed."""
        self._client = client
        self._server = server
        self._say = say
        self._refresh = refresh
        self._people = People(client)
        self._open: pb.Conversation | None = None
        self._unread: Counter[Key] = Counter()
        self._lost = False
        self._sending: set[asyncio.Task[None]] = set()
        # At the first login of a device the whole inbox comes; what is older than this is counted, not shown.
        self._new_since = int(time.time() * 1000) if client.last_seq == 0 else 0
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "add": self._add,
            "requests": self._requests,
            "accept": self._accept,
            "reject": self._reject,
            "friends": self._friends,
            "open": self._open_named,
            "history": self._history,
            "name": self._name,
            "alias": self._alias,
            "who": self._who,
            "quit": self._quit,
        }

    async def start(self) -> None:
        """Load friends and requests, and greet."""
        await self._people.learn([self._client.user_id])
        await self._people.refresh_friends()
        self._say(f"You are {self._people.describe(self._client.user_id)}. /help lists the commands.")
        await self._show_new_requests()
        if not self._people.friends and not self._people.requests:
            self._say("You have no friends here yet: /add NUMBER asks somebody.")

    async def finish(self) -> None:
        """Wait for what is still being sent."""
        if self._sending:
            await asyncio.wait(self._sending)

    def prompt(self) -> str:
        unread = [f"{self._title(key)} {count}" for key, count in self._unread.items() if count]
        where = self._title(_key(self._open)) if self._open is not None else ""
        waiting = f"({', '.join(unread)}) " if unread else ""
        offline = "" if self._client.connected else "(offline) "
        return f"{offline}{waiting}{where}>"

    async def on_line(self, line: str) -> None:
        """Do what the user entered. Raises Quit."""
        line = line.strip()
        try:
            if line.startswith("/"):
                name, _, rest = line[1:].partition(" ")
                command = self._commands.get(name)
                if command is None:
                    raise Refused(f"There is no /{name}; /help lists the commands.")
                await command(rest.strip())
            elif line:
                await self._send(line)
        except (Refused, Ambiguous) as error:
            text = f"Which one: {error}?" if isinstance(error, Ambiguous) else str(error)
            self._say(f"! {text}")
        except ClientError as error:
            self._say(f"! {plain(error)}")

    async def on_message(self, message: pb.Message) -> None:
        """Show a message that came in."""
        conversation = conversation_of(message, self._client.user_id)
        key = _key(conversation)
        mine = message.from_user == self._client.user_id
        old = message.server_timestamp < self._new_since
        if self._open is None and not mine and not old:
            self._enter(conversation)
            self._say(f"-- talking to {await self._learned_title(conversation)} --")
        await self._people.name_of(message.from_user)
        if self._open is not None and key == _key(self._open):
            self._say(self._line(message))
            return
        if not mine:
            self._unread[key] += 1
            self._refresh()
        if not old:
            self._say(f"[{await self._learned_title(conversation)}] {self._line(message)}")

    async def on_event(self, event: Event) -> None:
        """Show what else happened."""
        try:
            match event:
                case ConnectionLost(reason):
                    self._lost = True
                    self._say(f"-- connection lost ({reason}), trying again --")
                case Connected():
                    if self._lost:
                        self._lost = False
                        self._say("-- connected again --")
                    await self._show_new_friends()
                    await self._show_new_requests()
                case FriendsChanged():
                    await self._show_new_friends()
                case FriendRequestsChanged():
                    await self._show_new_requests()
                case MessageRecalled(_, operator):
                    self._say(f"-- {await self._people.name_of(operator)} recalled a message --")
                case InboxGap(_, missing):
                    self._say(f"-- {missing} older messages were left out; /history shows them --")
        except (RequestError, RequestTimeout, Disconnected) as error:
            self._say(f"! {plain(error)}")
        self._refresh()

    async def _help(self, rest: str) -> None:
        self._say(HELP)

    async def _add(self, rest: str) -> None:
        keyword, _, reason = rest.partition(" ")
        if not keyword:
            raise Refused("Say whom: /add NUMBER|NAME [reason]")
        me = self._client.user_id
        users = [user for user in await self._client.search_users(keyword) if user.uid != me]
        exact = [user for user in users if user.mobile == keyword]
        found = exact or users
        if not found:
            raise Refused(f"Nobody found for {keyword}.")
        await self._people.learn([user.uid for user in found])
        if len(found) > 1:
            raise Ambiguous(", ".join(self._people.describe(user.uid) for user in found))
        uid = found[0].uid
        if uid in self._people.friends:
            raise Refused(f"{self._people.name(uid)} is your friend already: /open {self._people.name(uid)}")
        await self._client.add_friend(uid, reason.strip() or f"Hello, I am {self._people.name(me)}.")
        self._say(f"Asked {self._people.describe(uid)}; you are told when the answer comes.")

    async def _requests(self, rest: str) -> None:
        await self._people.refresh_requests()
        entries = sorted(self._people.requests.values(), key=lambda entry: entry.update_dt)
        if not entries:
            self._say("No friend requests.")
            return
        for entry in entries:
            mine = entry.from_uid == self._client.user_id
            other = entry.to_uid if mine else entry.from_uid
            status = STATUS.get(RequestStatus(entry.status), "")
            self._say(
                f"{_clock(entry.update_dt)} {'to' if mine else 'from'} {self._people.describe(other)}: "
                f"{printable(entry.reason)} ({status})"
            )
        await self._client.mark_requests_read(entries[-1].update_dt)

    async def _accept(self, rest: str) -> None:
        await self._answer(rest, RequestStatus.ACCEPTED)

    async def _reject(self, rest: str) -> None:
        await self._answer(rest, RequestStatus.REJECTED)

    async def _answer(self, name: str, status: RequestStatus) -> None:
        await self._people.refresh_requests()
        waiting = [entry.from_uid for entry in self._people.open_requests()]
        if not waiting:
            raise Refused("There is no open friend request.")
        uid = self._people.find(name, waiting) if name else waiting[0]
        if uid is None:
            raise Refused(f"There is no open request from {name}; /requests lists them.")
        await self._client.handle_friend_request(uid, status)
        if status is RequestStatus.REJECTED:
            self._say(f"Rejected {self._people.name(uid)}.")
            return
        await self._show_new_friends()

    async def _friends(self, rest: str) -> None:
        await self._people.refresh_friends()
        await self._people.learn(self._people.friends, again=True)
        if not self._people.friends:
            self._say("No friends yet: /add NUMBER asks somebody.")
        for uid in sorted(self._people.friends, key=self._people.name):
            unread = self._unread[ConversationType.PRIVATE, uid]
            self._say(f"{self._people.describe(uid)}{f', {unread} unread' if unread else ''}")

    async def _open_named(self, name: str) -> None:
        if not name:
            raise Refused("Say whom: /open NAME")
        uid = self._people.find(name, self._people.friends)
        if uid is None:
            await self._people.refresh_friends()
            uid = self._people.find(name, self._people.friends)
        if uid is None:
            raise Refused(f"None of your friends is called {name}; /friends lists them.")
        self._enter(private(uid))
        self._say(f"-- talking to {self._people.name(uid)} --")
        await self._history("")

    async def _history(self, rest: str) -> None:
        if rest and not (rest.isdecimal() and int(rest)):
            raise Refused("Say how many: /history N")
        conversation = self._opened()
        for message in reversed(await self._client.history(conversation, count=int(rest or HISTORY))):
            await self._people.name_of(message.from_user)
            self._say(self._line(message))

    async def _name(self, name: str) -> None:
        if not name:
            raise Refused("Say which: /name NEWNAME")
        await self._client.modify_my_info(InfoType.DISPLAY_NAME, name)
        await self._people.learn([self._client.user_id], again=True)
        self._say(f"You are now called {self._people.name(self._client.user_id)}.")

    async def _alias(self, rest: str) -> None:
        try:
            words = shlex.split(rest)
        except ValueError:
            words = []
        if len(words) != 2:
            raise Refused('Say whom and how: /alias NAME ALIAS, with quotes around "names with spaces"')
        uid = self._people.find(words[0], self._people.friends)
        if uid is None:
            raise Refused(f"None of your friends is called {words[0]}; /friends lists them.")
        before = self._people.name(uid)
        await self._client.set_alias(uid, words[1])
        await self._people.refresh_friends()
        self._say(f"{before} is now {self._people.name(uid)}.")

    async def _who(self, rest: str) -> None:
        me = self._client.user_id
        self._say(
            f"You are {self._people.describe(me)}, user id {me}, device {self._client.credentials.client_id}."
        )
        self._say(f"{'Connected' if self._client.connected else 'Not connected'} to {self._server}.")
        if self._open is not None:
            self._say(f"Talking to {await self._learned_title(self._open)}.")

    async def _quit(self, rest: str) -> None:
        raise Quit

    async def _send(self, text: str) -> None:
        conversation = self._opened()
        if len(self._sending) >= MAX_SENDING:
            await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
        # Typing goes on while the server stores it; the messages leave in the order they were typed.
        task = asyncio.create_task(self._send_one(conversation, text))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_one(self, conversation: pb.Conversation, text: str) -> None:
        try:
            sent = await self._client.send(conversation, text)
        except ClientError as error:
            self._say(f"! Not sent: {text!r}: {plain(error)}")
            return
        where = (
            ""
            if self._open is not None and _key(self._open) == _key(conversation)
            else self._title(_key(conversation))
        )
        self._say(f"{f'[{where}] ' if where else ''}{_clock(sent.timestamp)} you: {text}")

    async def _show_new_friends(self) -> None:
        for uid in await self._people.refresh_friends():
            self._say(f"{self._people.describe(uid)} is now your friend: /open {self._people.name(uid)}")
            if self._open is None:
                self._enter(private(uid))
                self._say(f"-- talking to {self._people.name(uid)} --")

    async def _show_new_requests(self) -> None:
        for entry in await self._people.refresh_requests():
            name = self._people.describe(entry.from_uid)
            self._say(f"{name} wants to be your friend: {printable(entry.reason)}  (/accept or /reject)")

    def _opened(self) -> pb.Conversation:
        if self._open is None:
            raise Refused("You are talking to nobody: /open NAME, or /add NUMBER to find somebody.")
        return self._open

    def _enter(self, conversation: pb.Conversation) -> None:
        self._open = conversation
        del self._unread[_key(conversation)]
        self._refresh()

    async def _learned_title(self, conversation: pb.Conversation) -> str:
        if conversation.type == ConversationType.PRIVATE:
            await self._people.name_of(conversation.target)
        return self._title(_key(conversation))

    def _title(self, key: Key) -> str:
        kind, target = key
        return self._people.name(target) if kind == ConversationType.PRIVATE else f"group {printable(target)}"

    def _line(self, message: pb.Message) -> str:
        me = self._client.user_id
        who = "you" if message.from_user == me else self._people.name(message.from_user)
        content = message.content
        clock = _clock(message.server_timestamp)
        if content.type == ContentType.TIP:
            return f"{clock} -- {printable(content.content)} --"
        if content.type == ContentType.TEXT:
            return f"{clock} {who}: {printable(content.searchable_content)}"
        if content.type == ContentType.RECALLED:
            return f"{clock} {who}: (recalled)"
        return f"{clock} {who}: [{KINDS.get(content.type, f'message of type {content.type}')}]"


def plain(error: ClientError) -> str:
    """Return an error in plain words for the person at the terminal."""
    match error:
        case RequestError(code=Code.ALREADY_REQUESTED):
            return "You have asked already; wait for the answer."
        case RequestError(code=Code.REQUEST_BLOCKED):
            return "Your request was rejected not long ago; you cannot ask again yet."
        case RequestError():
            return f"The server says no: {error.meaning}."
        case SendUnconfirmed():
            return "The server did not confirm it; it may or may not have arrived."
        case RequestTimeout():
            return "The server does not answer."
        case Disconnected():
            return "There is no connection to the server now."
        case _:
            return str(error)


def _key(conversation: pb.Conversation) -> Key:
    return conversation.type, conversation.target


def _clock(ms: int) -> str:
    """Return the local time of day, with the date when it was not today."""
    moment = time.localtime(ms / 1000)
    today = time.localtime()[:3] == moment[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", moment)
