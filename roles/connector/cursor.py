"""How far one device is in one log of its user: the rule that all logs share (contract.md section 6).

A user has four logs: the inbox, the delivery reports, the read reports and the recalls. Each entry has a seq, which
is one more than that of the entry before; a read report's is a time in ms. A device says too early that it has an
entry, or counts wrong, or breaks off. So a cursor keeps apart what was written to the device and what the device
demonstrably has.
"""

from typing import Final

OUTLIVED_SECONDS: Final = 5.0
"""A device that sends something so long after an answer was written out has the answer.

Nothing else would show it: a connection that has broken may still hold what its device sent before.
"""

_NOTHING = -1


class Cursor:
    """`mark` is the last seq that the device demonstrably has, `covered` the last one that was written to it.

    `covered` goes back to what the device says, if that is below its mark.

    The device is told of the lowest seq above `covered`, once, and asks for what follows. Its question shows that it
    has all that was written before it was told.
    """

    __slots__ = (
        "_answering",
        "_late",
        "_news",
        "_repeats",
        "_seen",
        "_seen_at",
        "_shows",
        "_told",
        "covered",
        "mark",
        "told_at",
    )

    def __init__(self, mark: int) -> None:
        self.mark = self.covered = mark
        self.told_at: float | None = None
        """When the device was told of something that it has not asked for since."""
        self._told = _NOTHING
        """What `covered` was when the device was told."""
        self._shows = 0
        """What a question for that shows that the device has."""
        self._news = 0
        """The last of the log when the device was told of something new."""
        self._repeats = 0
        self._answering = 0
        self._late = 0
        """The lowest entry that was told of while answers were being made: they may lack it."""
        self._seen = mark
        self._seen_at = 0.0
        """`covered` was `_seen` at that time: who is heard of OUTLIVED_SECONDS later has that much."""

    def greeted(self, now: float) -> None:
        """Take note that the CONNECT_ACK told the device how far the log goes: it asks by itself now."""
        self.told_at, self._told = now, _NOTHING

    def tell(
        self, head: int, now: float, *, most: int | None = None, behind_answers: bool = True
    ) -> int | None:
        """Return the seq to tell the device of, if the log up to `head` holds something that it lacks.

        It is told of nothing while it has not asked for what it was told of before, and while an answer is being
        made, unless `behind_answers` is False. Without news it is told again `most` times.
        """
        if head <= self.covered or self.told_at is not None or (self._answering and behind_answers):
            return None
        if head > self._news:
            self._news, self._repeats = head, 0
        elif most is not None and self._repeats >= most:
            return None
        else:
            self._repeats += 1
        self.told_at, self._told = now, self.covered
        self._shows = self.covered
        return self.covered + 1

    def tell_again(self, before: float) -> bool:
        """Return whether the device has not asked for what it was told of before that time; it may be told again."""
        if self.told_at is None or self.told_at >= before:
            return False
        self.told_at = None
        return True

    def asked(self, after: int, heard_at: float, now: float) -> int:
        """Take a question for what follows `after`, heard at `heard_at`; return what the answer has to follow.

        That is the lower one of what the device says and of its mark. A device that has less than its mark says, such
        as a bot that was killed, lacks what follows: it is told of that too. `answered` or `failed` comes next.
        """
        self.outlived(heard_at, now)
        if self.told_at is not None and after == self._told:
            self.mark = max(self.mark, self._shows)
        self.told_at = None
        self._answering += 1
        if after < self.mark:
            self.covered, self._seen = max(after, 0), self.mark
        return min(after, self.mark)

    def answered(self, upto: int, now: float) -> None:
        """Take note that an answer was written: it covers the log up to `upto`."""
        self.wrote(upto, now)
        self._made()

    def failed(self, head: int, now: float) -> None:
        """Take note that there is no answer: the device is told again in a while, not at once."""
        self._made()
        if head > self.covered:
            self.told_at, self._told = now, _NOTHING

    def wrote(self, upto: int, now: float) -> None:
        """Take note that the log up to `upto` was written to the device."""
        self.covered = max(self.covered, upto)
        if self._seen <= self.mark:
            self._seen, self._seen_at = self.covered, now

    def _made(self) -> None:
        """Count down the answers that are being made."""
        self._answering -= 1
        if self._late:
            self._go_back(self._late - 1)
        if not self._answering:
            self._late = 0

    def late(self, seq: int) -> None:
        """Take note of a new entry that may have been stored after entries with higher seqs.

        The device may lack it, whatever was written to it, and whatever answer is being made. It is told again.
        """
        if self._answering:
            self._late = min(seq, self._late or seq)
        self._go_back(seq - 1)
        self._news = self._repeats = 0

    def _go_back(self, upto: int) -> None:
        """Count as written no more than what is up to a seq."""
        if upto < self.covered:
            self.covered = upto
            self.mark, self._seen = min(self.mark, upto), min(self._seen, upto)
            self._shows = min(self._shows, upto)

    def own(self, seq: int) -> bool:
        """Move over an entry that the device made itself, if it is the next one; return whether it is behind us."""
        if seq == self.covered + 1:
            if self.mark == self.covered:
                self.mark = seq
            self.covered = seq
        return seq <= self.covered

    def begin_at(self, mark: int) -> None:
        """Set the mark, also back: a device that has nothing was given the entries above it, and needs none below."""
        self.mark = mark

    def waits(self) -> bool:
        """Return whether something was written that the device is not known to have."""
        return self._seen > self.mark

    def still_on_its_way(self, now: float) -> None:
        """Take note that what was written is not all out yet: the time begins again."""
        self._seen_at = now

    def outlived(self, heard_at: float, now: float) -> bool:
        """Move the mark if the device was heard of so much later; return whether it moved."""
        if self._seen <= self.mark or heard_at < self._seen_at + OUTLIVED_SECONDS:
            return False
        self.mark = self._seen
        self._seen, self._seen_at = self.covered, now
        return True
