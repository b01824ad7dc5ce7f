"""Devices of an open or closed loop in which anybody writes to anybody, and the check of what comes to each."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from google.protobuf.message import Message

from fsharechat.protocol.messages_pb2 import NotifyMessageReport
from fsharechat.protocol.signals import Signal, SubSignal
from tools.wire import frames
from tools.wire.bodies import GROUP, PRIVATE, WireAccount

from .histogram import LatencyHistogram
from .link import BenchError, BenchPeer
from .load import STALL_SECONDS, connect
from .server import BenchServer
from .tcp import BenchTcpLink, TcpBuilder
from .texts import message_id_of, parse

_SLICE_SECONDS = 0.02
_MRN = Signal.PUBLISH << 8 | SubSignal.MRN
_MOST_IDS = 60_000


@dataclass(slots=True)
class Post:
    """What was sent to whom, and when it was due. Times are in seconds, and kept only while `measuring`."""

    delivered: int = 0
    """Copies that have arrived."""
    awaited: int = 0
    """Copies that have not."""
    acked: int = 0
    repeated: int = 0
    """Copies that came again, in front of others, as the contract allows (section 6)."""
    measuring: bool = False
    due: dict[tuple[int, int], float] = field(default_factory=dict)
    """When each text (its sender's number and its own) was due."""
    arrivals: LatencyHistogram = field(default_factory=LatencyHistogram)
    acks: LatencyHistogram = field(default_factory=LatencyHistogram)
    faults: list[str] = field(default_factory=list)

    def check(self, server: BenchServer) -> None:
        """Raise BenchError after a fault."""
        server.check_alive()
        if self.faults:
            raise BenchError("wrong delivery or a lost connection:\n  " + "\n  ".join(self.faults))

    async def until(self, server: BenchServer, done: Callable[[], bool], what: str) -> None:
        """Wait for a condition. Raises BenchError after a fault, or when nothing moves for STALL_SECONDS."""
        seen, moved = -1, perf_counter()
        while not done():
            await asyncio.sleep(_SLICE_SECONDS)
            self.check(server)
            now, moves = perf_counter(), self.delivered + self.acked
            if moves != seen:
                seen, moved = moves, now
            elif now - moved > STALL_SECONDS:
                raise BenchError(f"nothing moved for {STALL_SECONDS:.0f} s: {what}")
        self.check(server)

    async def until_all_arrived(self, server: BenchServer) -> None:
        await self.until(server, lambda: not self.awaited, f"{self.awaited} copies have not arrived")


class BenchDevice(BenchPeer):
    """A device over TCP: it writes, fetches what it is told of, and asks for other things.

    `number` is in its texts. What it gets must be what it `expects`: all of it, once, and from each sender in order.
    `on_ack` is called after each acknowledgement.
    """

    def __init__(self, number: int, account: WireAccount, post: Post) -> None:
        super().__init__(f"device {number}", post.faults)
        self.number = number
        self.account = account
        self.expects: dict[int, deque[int]] = defaultdict(deque)
        """By sender the numbers of the texts that have not come."""
        self.open: dict[int, float] = {}
        """Frame id → when it was due, for messages without an answer."""
        self.current = -1
        """The last seq of the inbox that it has fetched; -1: it begins where its inbox ends."""
        self.on_ack: Callable[[BenchDevice], None] | None = None
        self.on_report: Callable[[BenchDevice, int], None] | None = None
        """Called with the head of each MRN."""
        self.link = DeviceLink(account, self)
        self._post = post
        self._seq = 0
        self._builders: dict[tuple[int, str], TcpBuilder] = {}
        self._pulls: dict[int, int] = {}
        self._next_pull = 0
        self._puller = TcpBuilder(number, account.user_id, account.user_id)

    def renew(self) -> None:
        """End the connection, and have a new one that has not begun."""
        self.link.close()
        self._pulls.clear()
        self.link = DeviceLink(self.account, self)

    def send(
        self,
        target: str,
        receivers: Sequence["BenchDevice"],
        due: float,
        kind: int = PRIVATE,
        flush: bool = True,
    ) -> None:
        """Send the next text to a user or group. `receivers` are all devices that must get it."""
        builder = self._builders.get((kind, target))
        if builder is None:
            builder = self._builders[kind, target] = TcpBuilder(
                self.number, self.account.user_id, target, kind
            )
        seq = self._seq
        self._seq += 1
        frame, _ = builder.message(seq)
        self.open[message_id_of(seq)] = due
        post = self._post
        post.due[self.number, seq] = due
        post.awaited += len(receivers)
        for receiver in receivers:
            receiver.expects[self.number].append(seq)
        self.link.out.append(frame)
        if flush:
            self.link.flush()

    def send_to_group(self, target: str, receivers: Sequence["BenchDevice"], due: float) -> None:
        self.send(target, receivers, due, GROUP)

    def connected(self, head: int) -> None:
        if self.current < 0:
            self.current = head
        if head > self.current:
            self._ask(self.current + 1)

    def acked(self, message_id: int, code: int, now: float) -> None:
        due = self.open.pop(message_id, None)
        if due is None:
            return super().acked(message_id, code, now)
        if code:
            return self.fault(f"had a message refused with code {code}")
        self._post.acked += 1
        if self._post.measuring:
            self._post.acks.record(now - due)
        if self.on_ack is not None:
            self.on_ack(self)
        return None

    def notified(self, head: int, now: float) -> None:
        """Ask, whatever the head: until it is answered, the server says nothing more."""
        self._ask(head)

    def told_of_reports(self, notice: NotifyMessageReport) -> None:
        """An MRN came. Without `on_report` nobody reports to it."""
        if self.on_report is None:
            self.fault(f"got an MRN of head {notice.head}, and nobody reports to it")
        else:
            self.on_report(self, notice.head)

    def _ask(self, head: int) -> None:
        """Ask for the entries after head - 1."""
        self._next_pull = self._next_pull % _MOST_IDS + 1
        self._pulls[self._next_pull] = head
        self.link.out.append(self._puller.pull(head, self._next_pull))

    def pulled(self, message_id: int, texts: Sequence[bytes], current: int, now: float) -> None:
        head = self._pulls.pop(message_id, None)
        if head is None:
            return super().pulled(message_id, texts, current, now)
        begin = current - len(texts)
        if begin > max(self.current, head - 1):  # between them are only own messages
            return self.fault(f"asked for {head}, got {len(texts)} messages and current {current}")
        known = max(0, self.current - begin)
        self.current = max(self.current, current)
        post = self._post
        post.repeated += min(known, len(texts))
        for text in texts[known:]:
            found = parse(text)
            if found is None:
                return self.fault(f"got a damaged or foreign text: {text!r}")
            sender, seq = found
            if sender == self.number:
                continue
            expected = self.expects[sender]
            if not expected or expected[0] != seq:
                wanted = expected[0] if expected else "nothing"
                return self.fault(f"got message {seq} of {sender}, expecting {wanted}")
            expected.popleft()
            post.delivered += 1
            post.awaited -= 1
            if post.measuring:
                post.arrivals.record(now - post.due[found])
        return None


class DeviceLink(BenchTcpLink):
    """The connection of a BenchDevice: it takes MRNs and the answers to requests, too."""

    def __init__(self, account: WireAccount, device: BenchDevice) -> None:
        super().__init__(account, device)
        self._device = device
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._next_id = 0

    async def request(self, sub_signal: SubSignal, body: Message) -> bytes:
        """Return the payload of the answer. Raises BenchError if the request is refused."""
        self._next_id = self._next_id % _MOST_IDS + 1
        message_id = self._next_id | sub_signal << 16
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._asked[message_id] = answer
        self.out.append(frames.encode(Signal.PUBLISH, sub_signal, self._next_id, body.SerializeToString()))
        self.flush()
        return await answer

    def _frame(self, kind: int, message_id: int, data: bytes, start: int, end: int, now: float) -> None:
        signal, sub_signal = kind >> 8, kind & 0xFF
        asked = self._asked.pop(message_id | sub_signal << 16, None) if signal == Signal.PUB_ACK else None
        if asked is not None:
            if data[start]:
                asked.set_exception(BenchError(f"{SubSignal(sub_signal).name}: code {data[start]}"))
            else:
                asked.set_result(data[start + 1 : end])
        elif kind == _MRN:
            self._device.told_of_reports(NotifyMessageReport.FromString(data[start:end]))
        else:
            super()._frame(kind, message_id, data, start, end, now)

    def close(self) -> None:
        super().close()
        for answer in self._asked.values():
            answer.cancel()


async def connect_devices(server: BenchServer, devices: Sequence[BenchDevice]) -> None:
    """Connect devices, a bounded number at a time. Raises BenchError."""
    await connect([(one.link, server.address("tcp", one.number)) for one in devices])


def close_devices(devices: Sequence[BenchDevice]) -> None:
    for one in devices:
        one.link.close()
