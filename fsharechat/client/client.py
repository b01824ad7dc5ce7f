"""The client: a user's device. It stays connected while it is open."""

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from fsharechat.client.addresses import Addresses
from fsharechat.client.answers import AnswerStream
from fsharechat.client.calls import Calls, call_signal
from fsharechat.client.connection import Connection
from fsharechat.client.devices import UserDevices
from fsharechat.client.errors import Disconnected
from fsharechat.client.groups import ClientGroups
from fsharechat.client.inbox import Inbox, Stream
from fsharechat.client.link import Link
from fsharechat.client.media import Media
from fsharechat.client.models import (
    Credentials,
    Event,
    IceServer,
    MessageRecalled,
    MessagesWaiting,
    Notice,
    Position,
    ReportsChanged,
    SentMessage,
    Transparent,
    private,
    text,
)
from fsharechat.client.options import Backoff, Options
from fsharechat.client.outbox import Outbox
from fsharechat.client.reports import Reports
from fsharechat.client.transfer import Transfer
from fsharechat.client.transport import Body, SendRequest, ask
from fsharechat.client.user_settings import UserSettings
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    ContentType,
    ConversationType,
    InfoType,
    PersistFlag,
    RequestStatus,
    SubSignal,
)

log = logging.getLogger(__name__)

OnMessage = Callable[[pb.Message], Awaitable[None] | None]
OnEvent = Callable[[Event], Awaitable[None] | None]
OnPosition = Callable[[Position], None]
Target = str | pb.Conversation
"""The target of a message: a conversation, or a user id for a private one."""


class Client:
    """One device of one user, over TCP or WebSocket.

    It stays connected by itself: a lost connection is made again, what arrived meanwhile is pulled, and messages
    being sent are sent again under the same local id, so that they are stored once. `messages()` yields each
    message that comes to the user once, in the inbox's order, also those that the user's other devices send; what
    this client sends itself it does not yield.

        async with Client(credentials, tcp="im.example.org:6789") as client:
            await client.send(friend, "hello")
            async for message in client.messages():
                print(message.from_user, message.content.searchable_content)

    Further methods are in `calls`, `devices`, `groups`, `media`, `reports` and `settings`.

    Errors: every method that asks the server raises RequestError when it refuses, RequestTimeout when it does not
    answer, Disconnected when there is no connection or it breaks meanwhile, and what ended the client once it has
    ended. It ends by `close`, and by itself when the server refuses the credentials (ConnectRefused), when a
    callback raises, or, with `Options.reconnect` off, when the connection is lost (Disconnected).
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        tcp: str | Sequence[str] | None = None,
        ws: str | Sequence[str] | None = None,
        position: Position | None = None,
        on_message: OnMessage | None = None,
        on_event: OnEvent | None = None,
        on_position: OnPosition | None = None,
        options: Options | None = None,
    ) -> None:
        """Exactly one of `tcp` ("host:port") and `ws` ("ws://host:port/") says where the server is.

        Of several addresses the first is used, and the next one, in a circle, whenever there is no connection or it
        is lost. Give each client an order of its own, and they spread over the servers.

        `position` is where an earlier client of this device stopped. `on_position` gets each new one, to be kept
        before the next message comes (see the attribute `position`); it is a plain function. The other callbacks,
        plain or async, take the place of `messages()` and `events()`; they are called one at a time.
        """
        self.credentials = credentials
        self.user_id = credentials.user_id
        self.options = options or Options()
        self._on_message = on_message
        self._on_event = on_event
        self._events: Stream[Event] = Stream(self.options.event_queue)
        self._inbox = Inbox(
            position or Position(),
            capacity=self.options.message_queue,
            remember=self.options.remember_ids,
            is_own=lambda message: self._outbox.note(message),
            on_gap=self._events.offer,
            on_fetched=self._take_fetched,
            on_position=on_position or (lambda position: None),
        )
        self._addresses = Addresses(self.user_id, self.options, tcp=tcp, ws=ws)
        self._link = Link(
            credentials,
            self._addresses.next_transport,
            self.options,
            serve=self._serve,
            on_notice=self._take_notice,
            on_event=self._events.offer,
        )
        self._outbox = Outbox(self.user_id, self.request, self._link, self.options)
        self.groups = ClientGroups(self.request)
        self.devices = UserDevices(self.request)
        self.settings = UserSettings(self.request)
        self.calls = Calls(self.send, self._send_once)
        self.reports = Reports(self.request, self.options, self._events.offer)
        transfer = Transfer(self.options.media_timeout, self.options.tls)
        self.media = Media(self.user_id, self.request, self.send, transfer)
        self._task: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._was_connected = False

    @property
    def position(self) -> Position:
        """How far the application has handled the inbox.

        A message counts as handled when the next one is asked for, or when `on_message` has returned. Keep it and
        give it to the next Client of this device: then nothing is lost, and messages in work may come twice. After a
        first answer without the whole inbox, or after a call, up to one answer may come twice (64 KiB, over WebSocket
        256 KiB).
        """
        return self._inbox.position

    @property
    def connected(self) -> bool:
        return self._link.connection is not None

    @property
    def address(self) -> str:
        """The address of the connection, or the one that was tried last."""
        return self._addresses.current

    @property
    def dropped_events(self) -> int:
        """How many events were dropped because nobody took them (`Options.event_queue`)."""
        return self._events.dropped

    async def connect(self, patience: float = 0.0) -> None:
        """Connect and stay connected.

        Raises Disconnected when the server cannot be reached within `patience` seconds (0: at the first attempt)
        and ConnectRefused when it refuses. A client connects once; after its end take a new one.
        """
        if self._task is not None:
            raise RuntimeError("a client connects once")
        self._task = asyncio.create_task(self._run(patience), name=f"fsharechat client {self.user_id}")
        try:
            await self._link.wait_up(within=None)
        except BaseException:
            await self.close()
            raise

    async def close(self, *, forget: bool = False) -> None:
        """Say goodbye and stop; closing twice does nothing. Requests in flight raise Disconnected.

        With `forget` the server drops the session, and the credentials become invalid (a logout). If the server could
        not be told, this raises Disconnected after closing.
        """
        if self._task is None or self._task.done():
            return
        try:
            if (connection := self._link.connection) is not None:
                await connection.disconnect(forget=forget)
            elif forget:
                raise Disconnected("the session is not forgotten: there is no connection")
        except Disconnected:
            if forget:
                raise
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def wait_closed(self) -> None:
        """Wait until the client has ended. Raises the error that ended it, if any."""
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._failure is not None:
            raise self._failure

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
        if self._failure is not None and error is None:
            raise self._failure

    def messages(self) -> AsyncIterator[pb.Message]:
        """Return the messages that come in: the same stream at each call.

        It ends when the client is closed, or raises the error that ended the client. While the application does not
        take them, at most `Options.message_queue` messages wait here, and the others at the server.
        """
        if self._on_message is not None:
            raise RuntimeError("the messages go to on_message")
        return self._inbox

    def events(self) -> AsyncIterator[Event]:
        """Return the events (`models.Event`): the same stream at each call, ending as `messages()` does.

        They are hints to ask the server again. If nobody takes them, the oldest are dropped.
        """
        if self._on_event is not None:
            raise RuntimeError("the events go to on_event")
        return self._events

    async def request(
        self, sub_signal: SubSignal, body: Body, *, within: float | None = None, turn: int | None = None
    ) -> Body:
        """Send any request of contract.md section 7: its TCP message, over either transport.

        Returns the reply's message where the contract names one, else bytes (MS: id and time; UP: the version;
        GC over TCP: the group id; others empty). Waits for a connection when there is none; `within` (seconds,
        default `Options.request_timeout`) covers both. Raises, before anything is sent, ValueError when the body is
        incomplete or the transport does not have the request, and TooLarge beyond `Options.max_request`.
        `turn` is the place among those that wait (`Link.next_turn`); without one it is the last.
        """
        seconds = self.options.request_timeout if within is None else within
        connection = self._link.free
        if connection is None:
            self._addresses.check(sub_signal, body)
            loop = asyncio.get_running_loop()
            started = loop.time()
            connection = await self._link.wait_up(seconds, turn)
            seconds -= loop.time() - started
        return await connection.request(sub_signal, body, seconds)

    async def send(
        self,
        target: Target,
        content: str | pb.MessageContent,
        *,
        to: Iterable[str] = (),
        local_id: int | None = None,
        within: float | None = None,
    ) -> SentMessage:
        """Send a text or any other content, and return once the server has stored it.

        Until it is answered it is sent again, with the same local id, after each lost connection and each time-out,
        for `within` seconds (default `Options.send_timeout`). It waits for its turn where more would be sent than the
        server takes (`Options.send_limit`). `to` limits a group message to some members. `local_id` (1 to 2^63 - 1)
        repeats an earlier send: the first one's receipt is returned.

        Raises RequestError when the server refuses, SendUnconfirmed when the time is over. At once, and before
        anything is sent: TooLarge, and TooOften when its turn would not come in that time.
        """
        message = pb.Message(
            conversation=private(target) if isinstance(target, str) else target,
            from_user=self.user_id,
            content=text(content) if isinstance(content, str) else content,
            to=to,
            local_message_id=local_id or self._outbox.next_local_id(),
        )
        self._addresses.check(SubSignal.MS, message)
        sent = await self._outbox.send(message, self.options.send_timeout if within is None else within)
        self._inbox.seen(sent.message_id)
        return sent

    async def send_typing(self, target: Target) -> None:
        """Tell the online users of a conversation that this user is typing. It is neither stored nor sent again."""
        where = private(target) if isinstance(target, str) else target
        await self._send_once(where, pb.MessageContent(type=ContentType.TYPING))

    async def _send_once(self, conversation: pb.Conversation, content: pb.MessageContent) -> None:
        """Send what is stored nowhere."""
        content.persist_flag = PersistFlag.TRANSPARENT
        message = pb.Message(
            conversation=conversation,
            from_user=self.user_id,
            content=content,
            local_message_id=self._outbox.next_local_id(),
        )
        await self._outbox.take_turn(self.options.request_timeout)
        await self.request(SubSignal.MS, message)

    def answering(self, uid: str) -> AnswerStream:
        """Answer a user who sees it while it is written. This user must be a robot (docs/robots.md)."""
        return AnswerStream(self.request, self.send, uid)

    async def turn(self) -> IceServer:
        """Ask where calls may be relayed: an entry for the `iceServers` of WebRTC, without urls if there are none."""
        found = await ask(self.request, SubSignal.TURN, pb.Version(version=0), pb.TurnResult)
        return IceServer(tuple(found.url), found.username, found.credential, found.ttl)

    async def pull(self, after_seq: int) -> pb.PullMessageResult:
        """Ask for the inbox entries after `after_seq` (section 6, MP), which `messages()` yields nevertheless.

        One answer is 64 KiB at most, over WebSocket 256 KiB; `current` is the last entry that it covers. For 0 it has
        the newest entries. It may begin lower than asked, and leaves out calls that this device was given before.
        """
        return await ask(
            self.request, SubSignal.MP, pb.PullMessageRequest(id=after_seq, type=0), pb.PullMessageResult
        )

    async def history(self, target: Target, before_id: int = 0, count: int = 20) -> list[pb.Message]:
        """Return up to `count` messages of a conversation with ids below `before_id` (0: all), newest first."""
        conversation = private(target) if isinstance(target, str) else target
        request = pb.LoadRemoteMessages(conversation=conversation, before_uid=before_id, count=count)
        result = await ask(self.request, SubSignal.LRM, request, pb.PullMessageResult)
        return list(result.message)

    async def search_users(self, keyword: str, *, fuzzy: bool = False, page: int = 0) -> list[pb.User]:
        """Find users by number or name."""
        request = pb.SearchUserRequest(keyword=keyword, fuzzy=int(fuzzy), page=page)
        return list((await ask(self.request, SubSignal.US, request, pb.SearchUserResult)).entry)

    async def user_infos(self, uids: Iterable[str]) -> list[pb.User]:
        """Return the users with these `uids`, as far as they exist."""
        request = pb.PullUserRequest(request=[pb.UserRequest(uid=uid, update_dt=0) for uid in uids])
        result = await ask(self.request, SubSignal.UPUI, request, pb.PullUserResult)
        return [entry.user for entry in result.result if entry.code == 0]

    async def modify_my_info(self, info: InfoType, value: str) -> None:
        """Change one field of the user."""
        entry = pb.InfoEntry(type=info, value=value)
        await self.request(SubSignal.MMI, pb.ModifyMyInfoRequest(entry=[entry]))

    async def add_friend(self, uid: str, reason: str = "") -> None:
        """Ask a user to be friends."""
        await self.request(SubSignal.FAR, pb.AddFriendRequest(target_uid=uid, reason=reason))

    async def handle_friend_request(self, uid: str, status: RequestStatus = RequestStatus.ACCEPTED) -> None:
        """Accept or reject the request of the user `uid`."""
        await self.request(SubSignal.FHR, pb.HandleFriendRequest(target_uid=uid, status=status))

    async def friends(self, version: int = 0) -> list[pb.Friend]:
        """Return friends and blacklisted users, or those changed after `version` (ms), even deleted ones.

        `state` is a FriendState.
        """
        result = await ask(self.request, SubSignal.FP, pb.Version(version=version), pb.GetFriendsResult)
        return list(result.entry)

    async def friend_requests(self, version: int = 0) -> list[pb.FriendRequest]:
        """Return the friend requests sent and received, or those changed after `version` (ms)."""
        result = await ask(
            self.request, SubSignal.FRP, pb.Version(version=version), pb.GetFriendRequestResult
        )
        return list(result.entry)

    async def mark_requests_read(self, version: int) -> None:
        """Mark the friend requests up to `version` (ms) as read."""
        await self.request(SubSignal.FRUS, pb.Version(version=version))

    async def set_alias(self, uid: str, alias: str) -> None:
        """Give a friend a name that only this user sees."""
        await self.request(SubSignal.FALS, pb.AddFriendRequest(target_uid=uid, reason=alias))

    async def delete_friend(self, uid: str) -> None:
        """End a friendship on both sides. Raises NotExist if there is none."""
        await self.request(SubSignal.FDL, pb.DeleteFriendRequest(target_uid=uid))

    async def blacklist(self, uid: str, on: bool = True) -> None:
        """Put a user on the blacklist, or take them off it. They are not told.

        Users on it cannot write, call, ask for friendship, add this user to groups, or see what this user has read.
        """
        await self.request(SubSignal.BLU, pb.BlacklistUserRequest(target_uid=uid, status=int(on)))

    async def recall(self, message_id: int) -> None:
        """Take a message back at every receiver: an own message, or, for an owner or manager, any of the group.

        Raises NoRight and NotExist. Doing it again changes nothing.
        """
        await self.request(SubSignal.MR, pb.INT64Buf(id=message_id))
        self._inbox.recall(message_id, self.user_id)

    async def edit(self, message_id: int, content: str | pb.MessageContent) -> None:
        """Give an own text a new content at every receiver.

        Raises RequestOvertime if it is too old, NoRight and NotExist. The same again changes nothing.
        """
        made = text(content) if isinstance(content, str) else content
        await self.request(SubSignal.ME, pb.EditMessageRequest(id=message_id, content=made))

    async def messages_by_id(self, message_ids: Iterable[int]) -> list[pb.Message]:
        """Return those of up to 100 messages that this user may see, as far as they fit into one answer."""
        request = pb.MessageIds(id=message_ids)
        return list((await ask(self.request, SubSignal.MGI, request, pb.PullMessageResult)).message)

    async def react(self, message_id: int, emoji: Iterable[str]) -> None:
        """Set the emoji with which this user reacts to a message, up to five; none takes them back."""
        await self.request(SubSignal.REA, pb.ReactRequest(id=message_id, emoji=emoji))

    async def reactions(self, message_ids: Iterable[int]) -> list[pb.Reactions]:
        """Return the reactions to up to 100 messages, one entry for each message and user."""
        request = pb.MessageIds(id=message_ids)
        return list((await ask(self.request, SubSignal.REL, request, pb.ReactionsResult)).entry)

    async def readers(self, group_id: str, line: int = 0) -> dict[str, int]:
        """Return up to when (ms) members of a group have read it, by uid, as far as they have told this user."""
        request = pb.GroupReadersRequest(group_id=group_id, line=line)
        found = await ask(self.request, SubSignal.GRL, request, pb.GroupReadersResult)
        return {one.uid: one.date for one in found.reader}

    async def report_user(self, uid: str, reason: str) -> None:
        """Report a user to the administrators. They are not told."""
        await self.request(SubSignal.RPA, pb.ReportAbuseRequest(uid=uid, reason=reason))

    async def report_message(self, message_id: int, reason: str) -> None:
        """Report a message, and its sender, to the administrators. Raises NotExist if this user has no such one."""
        await self.request(SubSignal.RPA, pb.ReportAbuseRequest(id=message_id, reason=reason))

    async def _run(self, patience: float) -> None:
        """Run everything in the background. A failure here ends the client."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._link.run(patience))
                if self._on_message is not None:
                    group.create_task(_feed(self._inbox, self._on_message))
                if self._on_event is not None:
                    group.create_task(_feed(self._events, self._on_event))
        except ExceptionGroup as errors:
            self._failure = errors.exceptions[0] if len(errors.exceptions) == 1 else errors
            if self._was_connected:  # else `connect` raises it
                log.error("the client of %s ended: %s", self.user_id, self._failure)
        finally:
            self._link.end(self._failure)
            self._inbox.end(self._failure)
            self._events.end(self._failure)

    def _serve(self, connection: Connection, ack: pb.ConnectAckPayload) -> list[Coroutine[Any, Any, None]]:
        self._was_connected = True
        request: SendRequest = partial(connection.request, within=self.options.request_timeout)

        async def pull(after: int) -> pb.PullMessageResult:
            query = pb.PullMessageRequest(id=after, type=0)
            return await ask(request, SubSignal.MP, query, pb.PullMessageResult)

        backoff = Backoff(self.options.backoff_first, self.options.backoff_max)
        work: list[Coroutine[Any, Any, None]] = [
            self._inbox.follow(pull, ack.msg_head, backoff),
            self.reports.speak(request),
        ]
        if self.options.follow_reports:
            work.append(self.reports.listen(request))
        return work

    def _take_notice(self, notice: Notice) -> None:
        match notice:
            case MessagesWaiting(head):
                self._inbox.notify(head)
                return
            case ReportsChanged() if self.options.follow_reports:
                self.reports.notify(notice)
                return
            case MessageRecalled(message_id, operator):
                self._inbox.recall(message_id, operator)
            case Transparent(message) if (signal := call_signal(message, self.user_id)) is not None:
                self._events.offer(signal)
                return
        self._events.offer(notice)

    def _take_fetched(self, message: pb.Message) -> None:
        if (
            self.options.report_delivery
            and message.conversation.type == ConversationType.PRIVATE
            and message.from_user != self.user_id
        ):
            self.reports.mark_delivered(message.from_user, message.server_timestamp)


async def _feed(stream: AsyncIterator[Any], callback: Callable[[Any], Awaitable[None] | None]) -> None:
    async for item in stream:
        result = callback(item)
        if inspect.isawaitable(result):
            await result
