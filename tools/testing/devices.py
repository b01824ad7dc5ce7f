"""Devices of users for tests: clients that remember received messages and requests."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self

from fsharechat.client import (
    Client,
    Credentials,
    Event,
    InboxGap,
    Options,
    Position,
    RequestError,
    SentMessage,
    login,
)
from fsharechat.client.connection import Connection
from fsharechat.client.transport import Body
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from tools.testing.server import SUPER_CODE, ServerAddresses, until

FAST = Options.fast()


class Handset(Client):
    """A client that keeps everything it receives, in order, and counts messages on the wire."""

    def __init__(
        self,
        credentials: Credentials,
        at: ServerAddresses,
        transport: str,
        *,
        position: Position | None = None,
        options: Options = FAST,
    ) -> None:
        self.received: list[pb.Message] = []
        self.seen: list[Event] = []
        self.pulled: Counter[int] = Counter()
        """How often each message came in the answer to a pull."""
        self.asked: Counter[int] = Counter()
        """How often each message was sent, by local id."""
        self.refused: Counter[int | None] = Counter()
        """How many of these the server refused, by code; None is a refusal over WebSocket, which has none."""
        super().__init__(
            credentials,
            **at.of(transport),
            position=position,
            on_message=self.received.append,
            on_event=self.seen.append,
            options=options,
        )

    async def request(
        self, sub_signal: SubSignal, body: Body, *, within: float | None = None, turn: int | None = None
    ) -> Body:
        if not isinstance(body, pb.Message) or sub_signal is not SubSignal.MS:
            return await super().request(sub_signal, body, within=within, turn=turn)
        self.asked[body.local_message_id] += 1
        try:
            return await super().request(sub_signal, body, within=within, turn=turn)
        except RequestError as error:
            self.refused[error.code] += 1
            raise

    @property
    def resent(self) -> int:
        """How many requests were sends that were sent again. The device has sent something."""
        assert self.asked, "its sends are not counted"
        return self.asked.total() - len(self.asked)

    def _serve(self, connection: Connection, ack: pb.ConnectAckPayload) -> list[Coroutine[Any, Any, None]]:
        ask = connection.request

        async def watched(sub_signal: SubSignal, body: Body, within: float) -> Body:
            result = await ask(sub_signal, body, within)
            if isinstance(result, pb.PullMessageResult):
                self.pulled.update(message.message_id for message in result.message)
            return result

        connection.request = watched  # type: ignore[method-assign]
        return super()._serve(connection, ack)

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    def texts_of(self, sender: str) -> list[str]:
        """Return the texts from a user, in the order of arrival."""
        return [text_of(message) for message in self.received if message.from_user == sender]

    def ids(self) -> list[int]:
        """Return the ids of all received messages, in the order of arrival."""
        return [message.message_id for message in self.received]

    async def until_received(self, count: int, what: Callable[[], str] | None = None) -> None:
        """Wait until so many messages have come. Fail with `what` if they do not."""
        await until(
            lambda: len(self.received) >= count,
            what or (lambda: f"{self.user_id} has {len(self.received)} messages of {count}"),
        )

    async def until_seen(self, kind: type[Event]) -> None:
        """Wait for an event."""
        await until(
            lambda: any(isinstance(event, kind) for event in self.seen),
            lambda: f"{self.user_id} saw no {kind.__name__}, but {self.seen}",
        )

    def gaps(self) -> list[Event]:
        """Return the gaps that a pull left because there was too much at once."""
        return [event for event in self.seen if isinstance(event, InboxGap)]

    async def whole_history(self, other: str, page: int) -> list[pb.Message]:
        """Return the conversation with a user, newest first, read page by page."""
        found: list[pb.Message] = []
        while True:
            before = found[-1].message_id if found else 0
            part = await self.history(other, before, page)
            assert len(part) <= page
            found += part
            if not part:
                return found

    async def send_all(self, to: str, texts: Sequence[str], unanswered: int = 16) -> list[SentMessage]:
        """Send texts in order, so many at a time without an answer."""
        room = asyncio.Semaphore(unanswered)

        async def one(text: str) -> SentMessage:
            try:
                return await self.send(to, text)
            finally:
                room.release()

        sending: list[asyncio.Task[SentMessage]] = []
        async with asyncio.TaskGroup() as tasks:
            for text in texts:
                await room.acquire()
                sending.append(tasks.create_task(one(text)))
        return [task.result() for task in sending]


def check_same(found: Sequence[object], wanted: Sequence[object], what: str) -> None:
    """Fail if two sequences differ, and show where: they may be long."""
    at = next((n for n, pair in enumerate(zip(found, wanted, strict=False)) if pair[0] != pair[1]), None)
    if at is None and len(found) == len(wanted):
        return
    at = min(len(found), len(wanted)) if at is None else at
    raise AssertionError(
        f"{what}: {len(found)} for {len(wanted)}; from number {at}: {found[at : at + 5]} for {wanted[at : at + 5]}"
    )


def text_of(message: pb.Message) -> str:
    return message.content.searchable_content


async def log_in(at: ServerAddresses, number: str, client_id: str, code: str = SUPER_CODE) -> Credentials:
    return await login(at.http, number, code, client_id)
