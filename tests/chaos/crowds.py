"""Crowds of raw devices for tests, on whatever serves them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from tools.chaos.audit import Deviations
from tools.chaos.crowd import ChaosCrowd
from tools.testing.server import BOUND, ServerAddresses

USERS, GROUP, RATE = 3, 30, 60.0


def addresses_of(*servers: ServerAddresses) -> dict[str, Sequence[str]]:
    """Return where devices connect, and log in at the first of them."""
    return {
        "tcp": [server.tcp for server in servers],
        "ws": [server.ws for server in servers],
        "http": [servers[0].http],
    }


@asynccontextmanager
async def talking(
    addresses: Mapping[str, Sequence[str]], *, users: int = USERS, group: int = GROUP, rate: float = RATE
) -> AsyncIterator[ChaosCrowd]:
    """Yield a crowd that talks. At the end all must have arrived, once and in order, and be there when it is read."""
    crowd = ChaosCrowd(addresses)
    try:
        await crowd.log_in(users, group)
        crowd.start(rate)
        yield crowd
        crowd.check()
        assert await crowd.stop(BOUND), crowd.outstanding()
        wrong = found(await crowd.judge())
        assert not wrong, wrong
        print(crowd.summary())
    finally:
        await crowd.close()


def found(wrong: Deviations) -> Deviations:
    """Return the kinds of deviations of which there are some."""
    return {what: cases for what, cases in wrong.items() if cases}
