"""The closed loop: pairs of a sender and a receiver, their counts, and the check of everything that arrives."""

import asyncio
import gc
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

from tools.wire.bodies import WireAccount

from .cpu import CpuTimes
from .link import BenchError, BenchLink, BenchPeer, Builder
from .server import Address, BenchServer
from .stats import percentile
from .tcp import BenchTcpLink, TcpBuilder
from .texts import message_id_of, parse
from .websocket import WsBuilder, WsLink

SETTLE_SECONDS = 2.0
"""The pause between the last connection and the first message, s. If the presence of a device is still on its way to
the group processes, the head check announces messages to it: no fault, but not what is measured.
"""
WARM_UP_SECONDS = 1.0
STALL_SECONDS = 20.0
_LATE_SECONDS = 0.5
_SLICE_SECONDS = 0.1
_CONNECT_SECONDS = 30.0
_CONNECTING = 64
_BUILDERS: dict[str, type[TcpBuilder] | type[WsBuilder]] = {"tcp": TcpBuilder, "ws": WsBuilder}
_LINKS: dict[str, type[BenchLink]] = {"tcp": BenchTcpLink, "ws": WsLink}


@dataclass(frozen=True, slots=True)
class Case:
    """`pairs` senders, each with `window` messages without a PUB_ACK."""

    pairs: int
    window: int

    def __str__(self) -> str:
        return f"{self.pairs}x{self.window}"


@dataclass(slots=True)
class Tally:
    """The counts of all pairs of a case together. Times are in seconds, and kept only while `measuring`."""

    delivered: int = 0
    notified: int = 0
    repeated: int = 0
    echoed: int = 0
    measuring: bool = False
    arrivals: list[float] = field(default_factory=list)
    acks: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One row of the table, over the measured window. CPU shares are of one core."""

    server: str
    """The kind of server, of a cluster with its layout."""
    transport: str
    case: str
    seconds: float
    messages: int
    per_second: float
    p50_ms: float
    p99_ms: float
    ack_p50_ms: float
    our_cpu_us: float
    """CPU time of our processes for each message, microseconds."""
    group_cpu_us: dict[str, float]
    """The same for each group of processes, with those of services."""
    our_cpu_share: float
    services_cpu_share: float
    generator_cpu_share: float
    others_cpu_share: float
    messages_per_notification: float
    repeated_notifications: int
    echoed_notifications: int
    """MNs that told senders of their own messages: the events came later than a head check."""


class LoadClient(BenchPeer):
    """One client of a pair: it asks for the messages that it is told of."""

    def __init__(self, name: str, builder: Builder, tally: Tally) -> None:
        super().__init__(name, tally.faults)
        self.link: BenchLink
        self._builder = builder
        self._tally = tally
        self._pulls: dict[int, int] = {}
        self._next_pull = 0

    def ask(self, head: int) -> None:
        """Ask for the entries after head - 1."""
        self._next_pull = self._next_pull % 50_000 + 1
        self._pulls[self._next_pull] = head
        self.link.out.append(self._builder.pull(head, self._next_pull))

    def pulled(self, message_id: int, texts: Sequence[bytes], current: int, now: float) -> None:
        head = self._pulls.pop(message_id, None)
        if head is None:
            return super().pulled(message_id, texts, current, now)
        if current != head - 1 + len(texts):
            self.fault(f"asked for what follows {head - 1}, got {len(texts)} messages and current {current}")
        return self.take(head, texts, current, now)

    def take(self, head: int, texts: Sequence[bytes], current: int, now: float) -> None:
        """Take the answer: the entries of the inbox from `head` up to `current`."""
        raise NotImplementedError


class LoadSender(LoadClient):
    """Keeps `window` messages without an answer, as long as it is not stopped."""

    def __init__(self, pair: int, window: int, builder: Builder, tally: Tally) -> None:
        super().__init__(f"sender {pair}", builder, tally)
        self.flying: deque[tuple[bytes, float]] = deque()
        """(text, time of sending) of messages that have not arrived, oldest first."""
        self.open: dict[int, float] = {}
        """message id → time of sending, for messages without an answer."""
        self.stopped = False
        self._window = window
        self._seq = 0

    def start(self) -> None:
        for _ in range(self._window):
            self._send(perf_counter())
        self.link.flush()

    def acked(self, message_id: int, code: int, now: float) -> None:
        sent = self.open.pop(message_id, None)
        if sent is None:
            return super().acked(message_id, code, now)
        if code:
            return self.fault(f"had a message refused with code {code}")
        tally = self._tally
        if tally.measuring:
            tally.acks.append(now - sent)
        if not self.stopped:
            self._send(now)
        return None

    def notified(self, head: int, now: float) -> None:
        """Its inbox holds its own messages. It is told of them when their event is late."""
        if head > self._seq:
            return super().notified(head, now)
        self._tally.echoed += 1
        return self.ask(head)

    def take(self, head: int, texts: Sequence[bytes], current: int, now: float) -> None:
        sent = [self._builder.message(seq)[1] for seq in range(head - 1, min(current, self._seq))]
        if texts != sent:
            self.fault(f"got entries {head} to {current} of its inbox, which are not what it has sent")

    def _send(self, now: float) -> None:
        frame, text = self._builder.message(self._seq)
        self.open[message_id_of(self._seq)] = now
        self.flying.append((text, now))
        self._seq += 1
        self.link.out.append(frame)


class LoadReceiver(LoadClient):
    """Fetches messages that it is told of, as deployed clients do, and compares them with those of its sender."""

    def __init__(self, pair: int, sender: LoadSender, builder: Builder, tally: Tally) -> None:
        super().__init__(f"receiver {pair}", builder, tally)
        self._pair = pair
        self._flying = sender.flying
        self._fetched = 0
        self._arrived = 0

    def notified(self, head: int, now: float) -> None:
        """Ask for the entries after head - 1. If the head is fetched already, the MN is a repeated one."""
        if head <= self._fetched:
            self._tally.repeated += 1
        elif head != self._fetched + 1:
            self.fault(f"got an MN of head {head} and has fetched only {self._fetched}")
        self._tally.notified += 1
        self.ask(head)

    def take(self, head: int, texts: Sequence[bytes], current: int, now: float) -> None:
        known = max(0, self._fetched - head + 1)
        tally = self._tally
        flying = self._flying
        for text in texts[known:]:
            if not flying or flying[0][0] != text:
                return self.fault(self._what_is_wrong(text))
            sent = flying.popleft()[1]
            self._arrived += 1
            if tally.measuring:
                tally.arrivals.append(now - sent)
        fresh = max(0, len(texts) - known)
        self._fetched = max(self._fetched, current)
        tally.delivered += fresh
        return None

    def _what_is_wrong(self, text: bytes) -> str:
        found = parse(text)
        if found is None:
            return f"got a damaged text, expecting number {self._arrived}: {text!r}"
        pair, seq = found
        if pair != self._pair:
            return f"got a message of pair {pair}"
        if seq < self._arrived:
            return f"got message {seq} again, expecting {self._arrived}"
        return f"got message {seq}, expecting {self._arrived}: missing or out of order"


def _pair(
    number: int, case: Case, transport: str, accounts: Sequence[WireAccount], tally: Tally
) -> tuple[LoadSender, LoadReceiver]:
    """Make one pair and its unconnected links."""
    from_account, to_account = accounts[2 * number], accounts[2 * number + 1]
    builder = _BUILDERS[transport](number, from_account.user_id, to_account.user_id)
    sender = LoadSender(number, case.window, builder, tally)
    receiver = LoadReceiver(number, sender, builder, tally)
    sender.link = _LINKS[transport](from_account, sender)
    receiver.link = _LINKS[transport](to_account, receiver)
    return sender, receiver


async def connect(links: Iterable[tuple[BenchLink, Address]]) -> None:
    """Connect and authenticate each link, a bounded number at a time. Raises BenchError if one is refused."""
    loop = asyncio.get_running_loop()
    waiting = iter(links)

    async def work() -> None:
        for link, address in waiting:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await loop.create_connection(lambda link=link: link, *address)  # type: ignore[misc]
                    await link.accepted
            except TimeoutError as error:
                raise BenchError(f"no CONNECT_ACK within {_CONNECT_SECONDS:.0f} s") from error
            except OSError as error:
                raise BenchError(f"cannot connect to {address[0]}:{address[1]}: {error}") from error

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_CONNECTING):
                group.create_task(work())
    except* BenchError as errors:
        raise errors.exceptions[0] from None


def link_of(transport: str, account: WireAccount, peer: BenchPeer) -> BenchLink:
    return _LINKS[transport](account, peer)


class _LoadWatch:
    """Ends a wait early: after a fault, or when nothing has arrived for STALL_SECONDS."""

    def __init__(self, tally: Tally, server: BenchServer) -> None:
        self._tally = tally
        self._server = server
        self._delivered = -1
        self._moved = perf_counter()

    async def until(self, end: float) -> None:
        """Wait until perf_counter() reaches `end`."""
        while (left := end - perf_counter()) > 0:
            await asyncio.sleep(min(left, _SLICE_SECONDS))
            self.check()

    def check(self) -> None:
        self._server.check_alive()
        if self._tally.faults:
            raise BenchError("wrong delivery or a lost connection:\n  " + "\n  ".join(self._tally.faults))
        now = perf_counter()
        if self._tally.delivered != self._delivered:
            self._delivered, self._moved = self._tally.delivered, now
        elif now - self._moved > STALL_SECONDS:
            raise BenchError(f"nothing arrived for {STALL_SECONDS:.0f} s")


async def run_case(
    case: Case, transport: str, server: BenchServer, accounts: Sequence[WireAccount], seconds: float
) -> CaseResult:
    """Run one case with `accounts` that have no messages yet. Raises BenchError on wrong delivery or a stall.

    Sender and receiver of a pair are on different connectors when there are several.
    """
    tally = Tally()
    pairs = [_pair(number, case, transport, accounts, tally) for number in range(case.pairs)]
    links: list[tuple[BenchLink, Address]] = []
    for number, (sender, receiver) in enumerate(pairs):
        links.append((sender.link, server.address(transport, number)))
        links.append((receiver.link, server.address(transport, number + 1)))
    await connect(links)
    gc.collect()
    gc.disable()
    try:
        await asyncio.sleep(SETTLE_SECONDS)
        watch = _LoadWatch(tally, server)
        for sender, _ in pairs:
            sender.start()
        await watch.until(perf_counter() + WARM_UP_SECONDS)
        server.look(True)
        result = await _measure(case, transport, tally, watch, server, seconds)
        server.look(False)
        await _drain([sender for sender, _ in pairs], tally, watch)
    finally:
        gc.enable()
        for link, _ in links:
            link.close()
    return result


async def _measure(
    case: Case, transport: str, tally: Tally, watch: _LoadWatch, server: BenchServer, seconds: float
) -> CaseResult:
    tally.measuring = True
    begin, delivered, notified = perf_counter(), tally.delivered, tally.notified
    before = CpuTimes.now(server)
    await watch.until(begin + seconds)
    tally.measuring = False
    elapsed, messages = perf_counter() - begin, tally.delivered - delivered
    cpu = CpuTimes.now(server).since(before)
    if not messages:
        raise BenchError(f"nothing arrived in {elapsed:.1f} s")
    arrivals, acks = sorted(tally.arrivals), sorted(tally.acks)
    return CaseResult(
        server=server.name,
        transport=transport,
        case=str(case),
        seconds=elapsed,
        messages=messages,
        per_second=messages / elapsed,
        p50_ms=percentile(arrivals, 50) * 1000,
        p99_ms=percentile(arrivals, 99) * 1000,
        ack_p50_ms=percentile(acks, 50) * 1000,
        our_cpu_us=cpu.ours / messages * 1e6,
        group_cpu_us={name: spent / messages * 1e6 for name, spent in cpu.groups.items()},
        our_cpu_share=cpu.ours / elapsed,
        services_cpu_share=cpu.services / elapsed,
        generator_cpu_share=cpu.generator / elapsed,
        others_cpu_share=cpu.others / elapsed,
        messages_per_notification=messages / max(1, tally.notified - notified),
        repeated_notifications=tally.repeated,
        echoed_notifications=tally.echoed,
    )


async def _drain(senders: Sequence[LoadSender], tally: Tally, watch: _LoadWatch) -> None:
    """Stop sending, wait for all messages under way, and then a little longer for duplicates."""
    for sender in senders:
        sender.stopped = True
    try:
        while any(sender.open or sender.flying for sender in senders):
            await watch.until(perf_counter() + _SLICE_SECONDS)
    except BenchError as error:
        flying = sum(len(sender.flying) for sender in senders)
        unanswered = sum(len(sender.open) for sender in senders)
        raise BenchError(
            f"{error}\nsent and never arrived: {flying}; never acknowledged: {unanswered}"
        ) from None
    await watch.until(perf_counter() + _LATE_SECONDS)
