"""The position of one device in one log of its user. All logs share this rule (contract.md section 6).

A user has four logs: the inbox, the delivery reports, the read reports and the recalls. Each entry has a seq, one
higher than the entry before it; the seq of a read report is a time in ms. A device may say too early that it has an
entry, may count wrong, or may break off. So a cursor has two numbers: what was written to the device, and what the
device demonstrably has.
"""

from typing import Final

OUTLIVED_SECONDS: Final = 5.0
"""A device that sends something so many seconds after an answer was written out has that answer.

Nothing earlier proves it: a broken connection may still hold bytes that its device sent before.
"""

_NOTHING = -1
_ALWAYS = 1 << 63
"""Above every seq."""


class Cursor:
    """`mark` is the last seq that the device demonstrably has. `covered` is the last seq that was written to it.

    If the device names a seq below its mark, `covered` goes back to that seq.

    The device is told of the lowest seq above `covered`, once, and then asks for the entries from there. Its question
    shows that it has all that was written before it was told.
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
        "silent_to",
        "told_at",
    )

    def __init__(self, mark: int) -> None:
        self.mark = self.covered = mark
        self.told_at: float | None = None
        """When the device was told of an entry that it has not asked for yet."""
        self._told = _NOTHING
        """The value of `covered` when the device was told."""
        self._shows = 0
        """The seq that the device is known to have once it asks for that entry."""
        self._news = 0
        """The head of the log when the device was last told of something new."""
        self._repeats = 0
        self._answering = 0
        self._late = 0
        """The lowest entry that the device was told of while answers were being made: they may lack it."""
        self.silent_to = _ALWAYS
        """While the device was told of something, it is told of nothing more that is not above this."""
        self._seen = mark
        self._seen_at = 0.0
        """When `covered` was `_seen`. A device that sends something OUTLIVED_SECONDS later has all up to `_seen`."""

    def greeted(self, now: float, given: int | None = None) -> None:
        """Note that the CONNECT_ACK told the device the head of the log: it asks by itself now.

        Unless it was `given` all up to this head before. Then it may have it and not ask: it is told of what follows.
        """
        self.told_at, self._told = now, _NOTHING
        if given is not None:
            self.silent_to = given

    def tell(
        self, head: int, now: float, *, most: int | None = None, behind_answers: bool = True
    ) -> int | None:
        """Return the seq to tell the device of, if it lacks an entry of the log up to `head`.

        It is told of nothing while its question for the last news is still to come. The same holds while an answer is
        being made, unless `behind_answers` is False. Without news it is told again `most` times.
        """
        if (
            head <= self.covered
            or (self.told_at is not None and head <= self.silent_to)
            or (self._answering and behind_answers)
        ):
            return None
        self.silent_to = _ALWAYS
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
        """Return whether the device was told of news before that time, has not asked, and may be told again."""
        if self.told_at is None or self.told_at >= before:
            return False
        self.told_at = None
        return True

    def asked(self, after: int, heard_at: float, now: float) -> int:
        """Take a question, heard at `heard_at`, for the entries after `after`. Return the seq after which the answer
        must begin.

        That is the lower one of `after` and the mark. A device may have less than its mark says, such as a bot that
        was killed: it is told of the entries above `after` too. News that crossed that question may make it ask from
        its mark: it is answered from `covered`, for it has nothing above. `answered` or `failed` comes next.
        """
        self.outlived(heard_at, now)
        if self.told_at is not None and after == self._told:
            self.mark = max(self.mark, self._shows)
        self.told_at, self.silent_to = None, _ALWAYS
        self._answering += 1
        if after < self.mark:
            self.covered, self._seen = max(after, 0), self.mark
        return min(after, self.mark, self.covered)

    def answered(self, upto: int, now: float) -> None:
        """Note that an answer was written: it covers the log up to `upto`."""
        self.wrote(upto, now)
        self._made()

    def failed(self, head: int, now: float) -> None:
        """Note that there is no answer: the device is told again in a while, not at once."""
        self._made()
        if head > self.covered:
            self.told_at, self._told = now, _NOTHING

    def wrote(self, upto: int, now: float) -> None:
        """Note that the log up to `upto` was written to the device."""
        self.covered = max(self.covered, upto)
        if self._seen <= self.mark:
            self._seen, self._seen_at = self.covered, now

    def _made(self) -> None:
        """Note that one answer is no longer being made."""
        self._answering -= 1
        if self._late:
            self._go_back(self._late - 1)
        if not self._answering:
            self._late = 0

    def late(self, seq: int) -> None:
        """Note a new entry that may have been stored after entries with higher seqs.

        The device may lack it, whatever was written to it and whatever answer is being made. So it is told again.
        """
        if self._answering:
            self._late = min(seq, self._late or seq)
        self._go_back(seq - 1)
        self._news = self._repeats = 0

    def _go_back(self, upto: int) -> None:
        """Count as written only the log up to a seq."""
        if upto < self.covered:
            self.covered = upto
            self.mark, self._seen = min(self.mark, upto), min(self._seen, upto)
            self._shows = min(self._shows, upto)

    def own(self, seq: int) -> bool:
        """Skip an entry that the device made itself, if it is the next one. Return whether the cursor is past it."""
        if seq == self.covered + 1:
            if self.mark == self.covered:
                self.mark = seq
            self.covered = seq
        return seq <= self.covered

    def begin_at(self, mark: int) -> None:
        """Set the mark, even to a lower seq: the device had nothing, got the entries above it, and needs no more."""
        self.mark = mark

    def waits(self) -> bool:
        """Return whether entries were written that the device is not known to have."""
        return self._seen > self.mark

    def still_on_its_way(self, now: float) -> None:
        """Note that the written bytes are not all out yet: the time begins again."""
        self._seen_at = now

    def outlived(self, heard_at: float, now: float) -> bool:
        """Move the mark if the device was heard of long enough after the writing. Return whether it moved."""
        if self._seen <= self.mark or heard_at < self._seen_at + OUTLIVED_SECONDS:
            return False
        self.mark = self._seen
        self._seen, self._seen_at = self.covered, now
        return True
