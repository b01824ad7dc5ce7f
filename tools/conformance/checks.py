"""Comparisons that name the compared values, with and without pytest."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager


class Skip(Exception):
    """A row cannot be tried on this server. The text is the reason."""


def same(got: object, wanted: object, what: str = "") -> None:
    """Fail unless two values are equal."""
    if got != wanted:
        raise AssertionError(f"{what or 'got'}: {got!r}, not {wanted!r}")


class Refused(Exception):
    """The server refused a request. Over WebSocket there is no code."""

    def __init__(self, sub: str, code: int | None) -> None:
        super().__init__(
            f"{sub} was refused with {code if code is not None else 'no code, as web clients see it'}"
        )
        self.sub, self.code = sub, code


class NotRefused(AssertionError):
    """A request was not refused, but should be."""


@contextmanager
def refused(code: int, *others: int) -> Iterator[None]:
    """Expect a refusal, over TCP with this code (or one of those)."""
    try:
        yield
    except Refused as refusal:
        if refusal.code not in (None, code, *others):
            raise AssertionError(f"{refusal}, not with {code}") from refusal
    else:
        raise NotRefused(f"not refused, but it should be with {code}")


async def refused_soon(code: int, attempt: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Expect a refusal, as soon as the server's other processes know the reason."""
    pause = 0.01
    async with asyncio.timeout(seconds):
        while True:
            try:
                with refused(code):
                    await attempt()
                return
            except NotRefused:
                await asyncio.sleep(pause)
                pause *= 1.5
