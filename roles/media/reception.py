"""What a receiver of RTP keeps: the numbers for its reports, and what is missing (RFC 3550 appendix A)."""

from roles.media.rtcp import Block

_MAX_GAP = 200
"""Packets: when more are missing at once, they cannot be sent again in time."""
_MAX_JUMP = 3000
"""A number that is farther away begins the numbering anew."""
_TRIES = 5
_AGAIN_SECONDS = 0.06
_GIVE_UP_SECONDS = 1.0
_CYCLE = 1 << 16


class Missing:
    """The packets of a source that are asked for again."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: dict[
            int, tuple[float, float, int]
        ] = {}  # number -> first seen missing, last asked, how often

    def __len__(self) -> int:
        return len(self._asked)

    def add(self, first: int, count: int, now: float) -> bool:
        """Take `count` numbers from `first` on. False: there are too many, and all are given up."""
        if count > _MAX_GAP or len(self._asked) + count > 2 * _MAX_GAP:
            self._asked.clear()
            return False
        for number in range(first, first + count):
            self._asked[number & 0xFFFF] = (now, 0.0, 0)
        return True

    def came(self, number: int) -> None:
        self._asked.pop(number, None)

    def clear(self) -> None:
        self._asked.clear()

    def due(self, now: float) -> list[int]:
        """Return what to ask for now, and count it as asked."""
        ask = []
        for number, (since, asked, tries) in list(self._asked.items()):
            if tries >= _TRIES or now - since > _GIVE_UP_SECONDS:
                del self._asked[number]
            elif not tries or now - asked > _AGAIN_SECONDS:
                self._asked[number] = (since, now, tries + 1)
                ask.append(number)
        return ask


class Reception:
    """The statistics of one stream of packets, from its first one on. Times are seconds of a steady clock."""

    __slots__ = (
        "_base",
        "_clock",
        "_cycles",
        "_expected_before",
        "_jitter",
        "_received_before",
        "_sr",
        "_sr_at",
        "_transit",
        "highest",
        "received",
    )

    def __init__(self, clock: int, first: int) -> None:
        """`clock` is ticks a second, `first` the sequence number of the first packet, which has still to be taken."""
        self.highest = first - 1
        """The highest sequence number, without its cycles; -1 before the number 0."""
        self.received = 0
        self._clock = clock
        self._base = first
        self._cycles = 0
        self._expected_before = self._received_before = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._sr = 0
        self._sr_at = 0.0

    def take(self, number: int, stamp: int, now: float) -> int:
        """Count a packet. Return how many numbers are new: 1, more where some were left out, 0 or less of an old one.

        What is too far away for that is JUMP, and is not counted.
        """
        step = (number - self.highest) & 0xFFFF
        if step >= 0x8000:
            step -= _CYCLE
        if not -_MAX_JUMP < step < _MAX_JUMP:
            return JUMP
        if step > 0:
            if number < self.highest:
                self._cycles += _CYCLE
            self.highest = number
        self.received += 1
        transit = now * self._clock - stamp
        if self._transit is not None:
            difference = abs(transit - self._transit)
            if difference < 10 * self._clock:  # else the stamps have begun anew
                self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return step

    def on_sender_report(self, ntp: int, now: float) -> None:
        self._sr = ntp >> 16 & 0xFFFFFFFF
        self._sr_at = now

    def report(self, ssrc: int, now: float) -> Block:
        """Return what to tell the sender, and begin the next interval."""
        highest = self._cycles + self.highest
        expected = highest - self._base + 1
        new, came = expected - self._expected_before, self.received - self._received_before
        self._expected_before, self._received_before = expected, self.received
        part = 0 if new <= 0 or new <= came else min((new - came) * 256 // new, 255)
        since = int((now - self._sr_at) * 65_536) if self._sr else 0
        lost = max(0, expected - self.received)
        return Block(ssrc, part, lost, highest & 0xFFFFFFFF, int(self._jitter), self._sr, since)


JUMP = _CYCLE
"""What `Reception.take` returns for a number that does not follow on the others."""
