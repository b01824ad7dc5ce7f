"""Devices that speak the wire protocol directly, each by the rule of one public client.

They are devices of the conformance suite, which shares no code with the server. But these survive their connections:
they go to the next connector, and send unacknowledged messages again.
"""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import aiohttp

from tools.conformance.arrived import ArrivedFrame, CutOff, Malformed
from tools.conformance.checks import Refused
from tools.conformance.device import ACCEPTED, SuiteDevice, SuiteLogin, is_push
from tools.conformance.links import LinkClosed, SuiteLink
from tools.testing.server import until
from tools.wire.bodies import PING_INTERVAL, Object, new_local_id, pull_body, web_pull

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long a frame may wait to be written, and a CONNECT for its answer, s."""
TICK_SECONDS = 0.5
PING_TICKS, DEAD_TICKS = 8, 20
"""After how many ticks without a frame a PING is sent, and the connection counts as dead."""
RESEND_SECONDS = 3.0
"""The public Android client sends the same frame again after so many seconds."""
PAUSE = 0.3
PAGE = 200


class Rule(Enum):
    """What a device claims to have (section 6)."""

    IOS = "the last answer"
    ANDROID = "the head of the last MN"
    WEB = "CONNECT_ACK's head as soon as it has asked, then the head of the last MN, and what it sent itself"


@dataclass(slots=True, eq=False)
class Spoken:
    """One message of a raw device."""

    by: str
    """The client id of its device."""
    sender: str
    number: int
    """Of this device's messages."""
    conversation: tuple[int, str]
    """Type and target."""
    to: frozenset[str]
    text: str
    local_id: int
    frame_id: int
    body: bytes
    content: Object
    last_try: float = 0.0
    tries: int = 0
    refused: int = 0
    acknowledged: bool = False
    message_id: int = 0

    def __str__(self) -> str:
        local = "with" if self.local_id else "without"
        return f"number {self.number} of {self.by} ({local} local id, {self.tries} tries)"


@dataclass
class Book:
    """The messages of all raw devices of a run. `run` marks their texts."""

    run: str = field(default_factory=lambda: secrets.token_hex(4))
    spoken: dict[str, Spoken] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """The breaches of the contract that were seen."""
    resent: int = 0
    refused: int = 0

    def unacknowledged(self) -> list[Spoken]:
        return [one for one in self.spoken.values() if not one.acknowledged]


class Nowhere(SuiteLink):
    """The link of a device that is not connected."""

    transport = ""

    async def send(
        self, signal: str, sub: str = "NONE", message_id: int = 0, body: bytes = b"", content: Any = None
    ) -> None:
        raise LinkClosed("not connected")

    async def _read(self) -> None: ...

    async def _end(self) -> None: ...


class RawDevice(SuiteDevice):
    """A device that stays connected while `run` runs."""

    def __init__(
        self,
        book: Book,
        session: SuiteLogin,
        transport: str,
        addresses: Sequence[str],
        rule: Rule,
        local_ids: bool,
    ) -> None:
        """`addresses` are those of the connectors, its own one first."""
        super().__init__(Nowhere(), session)
        self.transport = transport
        self.rule, self.local_ids = rule, local_ids
        self.heard: dict[int, str] = {}
        """Texts by message id, in the order in which they came first."""
        self.again = 0
        """How often a known message came again."""
        self.position = 0
        self.online = asyncio.Event()
        self.begun = asyncio.Event()
        """Whether it has a starting place in its inbox."""
        self._book = book
        self._addresses = addresses
        self._at = ""
        self._numbers = 0
        self._sent_since = 0
        """How many own messages were acknowledged since the last messages came, as web clients count."""
        self._sent: dict[int, Spoken] = {}
        """By frame id."""
        self._unanswered: dict[int, Spoken] = {}
        """Messages without an accepting PUB_ACK, in order."""
        self._asked: dict[int, asyncio.Future[ArrivedFrame | None]] = {}
        self._pulls: dict[int, int] = {}
        """The claimed seqs, by frame id."""
        self._writing = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def by_tcp(self) -> bool:
        return self.transport == "tcp"

    @property
    def unanswered(self) -> int:
        return len(self._unanswered)

    @property
    def settled(self) -> bool:
        """Whether it is online with nothing unanswered."""
        return self.online.is_set() and not self._unanswered

    async def until_answered(self, most: int) -> None:
        """Wait until fewer messages than `most` have no answer."""
        await until(lambda: self.unanswered < most, lambda: f"{self.unanswered} without a PUB_ACK")

    async def run(self) -> None:
        """Stay connected, to the own connector if possible, until cancelled."""
        try:
            while True:
                for address in self._addresses:
                    if await self._stay(address):
                        break
                await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))
        finally:
            await asyncio.gather(*self._closing)

    def go_home(self) -> None:
        """Leave a foreign connector, at any moment."""
        if self.online.is_set() and self._at != self._addresses[0]:
            self._leave()

    async def _stay(self, address: str) -> bool:
        """Connect, and stay until the connection ends. Return whether there was one."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                link = await SuiteLink.open(self.transport, address)
        except (OSError, aiohttp.ClientError):
            return False
        self._at = address
        try:
            await self._live(link)
        except (OSError, CutOff, aiohttp.ClientError):
            pass
        except (Malformed, AssertionError) as error:
            self._book.wrong.append(f"to {self.session.client_id}: {error}")
        finally:
            self._leave(link)
        return True

    def _leave(self, link: SuiteLink | None = None) -> None:
        link = link or self.link
        self.online.clear()
        self.link = Nowhere()
        for future in self._asked.values():
            if not future.done():
                future.set_result(None)
        self._asked.clear()
        self._pulls.clear()
        closing = asyncio.get_running_loop().create_task(link.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _live(self, link: SuiteLink) -> None:
        self.link = link
        async with asyncio.timeout(ANSWER_SECONDS), self._writing:
            if await self.connect() != ACCEPTED:
                return
            await self._ask_for_missed()
            for one in list(self._unanswered.values()):
                await self._write(one)
            self.online.set()
        quiet = 0
        while self.link is link:
            frame = await _next(link)
            quiet = 0 if frame is not None else quiet + 1
            if quiet == DEAD_TICKS:
                return
            async with asyncio.timeout(ANSWER_SECONDS):
                if frame is not None:
                    await self._take(frame)
                elif quiet % PING_TICKS == 0:
                    await link.send("PING", body=json.dumps(PING_INTERVAL).encode(), content=PING_INTERVAL)
                await self._repeat()

    # Receiving

    async def _ask_for_missed(self) -> None:
        position, self._sent_since, counted = self.position, 0, self._sent_since
        if self.rule is Rule.WEB:
            await self._pull(position, counted)
            self.position = max(position, self.connected["messageHead"])
        else:
            await self._pull(position)

    async def _pull(self, after: int, counted: int = -1) -> None:
        """Ask for the entries after a seq. `counted` own messages, 0 or more, are added to it, as web clients do."""
        frame_id = self._next_id()
        self._pulls[frame_id] = after
        web = web_pull(after)
        if counted >= 0:
            web |= {"messageId": str(after), "pullType": 0, "sendMessageCount": counted}
        await self.link.send("PUBLISH", "MP", frame_id, pull_body(after), web)

    async def _take(self, frame: ArrivedFrame) -> None:
        if frame.signal == "PUBLISH" and frame.sub == "MN":
            head = frame.content["messageHead"]
            await self._pull(head - 1)
            if self.rule is not Rule.IOS:
                self.position = max(self.position, head)
        elif frame.signal == "PUB_ACK" and not is_push(frame):
            if frame.sub == "MS":
                self._acknowledged(frame)
            elif frame.message_id in self._pulls:
                self._pulled(frame, self._pulls.pop(frame.message_id))
            elif (future := self._asked.pop(frame.message_id, None)) and not future.done():
                future.set_result(frame)  # else it is too late: nobody waits any more

    def _pulled(self, frame: ArrivedFrame, claim: int) -> None:
        if frame.failed:  # deployed clients do not ask again either: the server must notify them again
            return
        for message in frame.content["messageResponseList"]:
            self._hear(message, claim)
        if self.rule is Rule.IOS or self.position == 0:
            self.position = max(self.position, frame.content["current"])
        if self.position:
            self.begun.set()

    def _hear(self, message: Object, claim: int) -> None:
        text, message_id = message["content"]["searchableContent"], message["messageId"]
        if not text.startswith(self._book.run):
            return
        self._sent_since = 0
        one = self._book.spoken.get(text)
        if one is None or self.uid not in one.to | {one.sender}:
            self._book.wrong.append(f"{self.session.client_id} got {text!r}")
        elif one.by == self.session.client_id and not one.local_id and claim:
            self._book.wrong.append(f"{one} came back to its device")
        if message_id in self.heard:
            self.again += 1
        self.heard.setdefault(message_id, text)

    # Sending

    def compose(self, kind: int, target: str, to: frozenset[str]) -> Spoken:
        """Return the next message of this device."""
        self._numbers += 1
        client_id, local_id = self.session.client_id, new_local_id() if self.local_ids else 0
        text = f"{self._book.run} {client_id} {self._numbers}"
        draft = self.draft(target, text, kind=kind, local_id=local_id)
        one = Spoken(
            client_id,
            self.uid,
            self._numbers,
            (kind, target),
            to,
            text,
            local_id,
            self._next_id(),
            draft.body(),
            draft.web(),
        )
        self._book.spoken[text] = one
        return one

    async def say(self, messages: Sequence[Spoken]) -> None:
        """Send messages one after the other, without waiting for answers."""
        async with self._writing:
            for one in messages:
                self._sent[one.frame_id] = self._unanswered[one.frame_id] = one
                if self.online.is_set():
                    await self._write(one)

    async def _write(self, one: Spoken) -> None:
        if one.acknowledged:
            return
        self._book.resent += one.tries > 0
        one.tries += 1
        one.last_try = time.monotonic()
        # Always the same frame id and bytes: a message without a local id is recognised by them.
        try:
            await self.link.send("PUBLISH", "MS", one.frame_id, one.body, one.content)
        except LinkClosed:
            return

    async def _repeat(self) -> None:
        now = time.monotonic()
        due = [
            one
            for one in self._unanswered.values()
            if now - one.last_try > (PAUSE if one.refused else RESEND_SECONDS)
        ]
        if due:
            async with self._writing:
                for one in due:
                    await self._write(one)

    def _acknowledged(self, frame: ArrivedFrame) -> None:
        one = self._sent[frame.message_id]
        if frame.failed:
            one.refused += 1
            self._book.refused += 1
            return
        self._sent_since += 1
        message_id = frame.content["messageId"]
        if one.acknowledged and one.message_id != message_id:
            self._book.wrong.append(f"{one} has the ids {one.message_id} and {message_id}")
        one.acknowledged, one.message_id = True, message_id
        self._unanswered.pop(frame.message_id, None)

    async def whole_history(self, kind: int, target: str) -> list[Object]:
        """Return a conversation, newest first, read page by page (LRM)."""
        found: list[Object] = []
        while part := await self.history(
            target, kind=kind, before=found[-1]["messageId"] if found else 0, count=PAGE
        ):
            found += part
        return found

    async def ask_raw(
        self, sub: str, body: bytes, content: Any = None, *, frame_id: int | None = None
    ) -> ArrivedFrame:
        """Send a request and return its answer. Raises Refused, and OSError if none comes."""
        frame_id = frame_id or self._next_id()
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.online.wait()
            future: asyncio.Future[ArrivedFrame | None] = asyncio.get_running_loop().create_future()
            self._asked[frame_id] = future
            async with self._writing:
                await self.link.send("PUBLISH", sub, frame_id, body, content)
            answer = await future
        if answer is None:
            raise LinkClosed("the connection has ended")
        if answer.failed:
            raise Refused(sub, answer.code)
        return answer

    def _next_id(self) -> int:
        self._last_id = self._last_id % 0xFFFF + 1
        return self._last_id


async def _next(link: SuiteLink) -> ArrivedFrame | None:
    """Return the next frame, None if none comes within a tick."""
    try:
        async with asyncio.timeout(TICK_SECONDS):
            return await link.until(lambda _: True, "a frame")
    except TimeoutError:
        return None
