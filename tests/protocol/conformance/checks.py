"""Comparisons that say what they compared, with and without pytest."""

from collections.abc import Iterator
from contextlib import contextmanager


class Skip(Exception):
    """A row cannot be tried on this server: the reason is the text."""


def same(got: object, wanted: object, what: str = "") -> None:
    """Fail unless two values are equal."""
    if got != wanted:
        raise AssertionError(f"{what or 'got'}: {got!r}, not {wanted!r}")


class Refused(Exception):
    """The server refused a request; over WebSocket there is no code."""

    def __init__(self, sub: str, code: int | None) -> None:
        super().__init__(
            f"{sub} was refused with {code if code is not None else 'no code, as web clients see it'}"
        )
        self.sub, self.code = sub, code


@contextmanager
def refused(code: int, *others: int) -> Iterator[None]:
    """Expect a refusal, over TCP with this code (or one of those)."""
    try:
        yield
    except Refused as refusal:
        if refusal.code not in (None, code, *others):
            raise AssertionError(f"{refusal}, not with {code}") from refusal
    else:
        raise AssertionError(f"not refused, but it should be with {code}")
