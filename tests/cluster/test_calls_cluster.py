"""Calls in real browsers, on a cluster: two connectors, two group processes, two media processes."""

import asyncio

import pytest

from tests.e2e.browsers import (
    Browsers,
    Person,
    all_see,
    call,
    fine,
    group_of,
    hang_up,
    over,
    talk,
)
from tools.testing.cluster import LiveCluster, MakeCluster
from tools.testing.server import BOUND

pytestmark = pytest.mark.slow

TRIES = 30
"""Each new call is on either media process."""


async def carriers(it: LiveCluster) -> set[str]:
    """Return the media processes that carry calls."""
    return {name for name in it.names("media") if await it.metric("media_rooms", name)}


async def leader_of_the_call(it: LiveCluster) -> str:
    """Return the group process that looks after the one call there is."""
    async with asyncio.timeout(BOUND):
        while True:
            for name in it.names("group"):
                if await it.metric("calls", name):
                    return name
            await asyncio.sleep(0.1)


async def call_elsewhere(it: LiveCluster, there: str, group: str, people: list[Person]) -> str:
    """Call until the call is not on the media process `there`, and return on which it is."""
    for _ in range(TRIES):
        await call(group, people)
        if found := await carriers(it) - {there}:
            return found.pop()
        await people[0].page.evaluate("finish(402)")
        await over(people)
    raise AssertionError(f"all of {TRIES} calls were on {there}")


async def test_calls_between_connectors_and_on_both_media_processes(cluster: MakeCluster) -> None:
    it = cluster(2, 2, media=2)
    it.faults()
    async with Browsers.open() as browsers:
        # Two who call each other, on two connectors.
        pair = [await browsers.person(it.at(number)) for number in (0, 1)]
        await talk(pair[0], pair[1])
        await hang_up(pair[0], pair[1])

        # Three in a group: one leaves and comes back.
        people = [await browsers.person(it.at(number)) for number in (0, 1, 0)]
        ann, ben, cat = people
        group = await group_of(it.at(1), people)
        await call(group, people)
        await ben.page.evaluate("finish(403)")
        for page in (ann.page, cat.page):
            await page.until(f"!({ben.uid!r} in connections)")
        await ben.page.evaluate("answer()")
        await all_see(people)

        # One is gone without a word, and so is the group process that would let them out: the other one does.
        leader = await leader_of_the_call(it)
        it.do("kill", leader)
        await cat.page.close()
        for page in (ann.page, ben.page):
            await page.until(f"!({cat.uid!r} in connections)")
        it.do("start", leader)
        left = [ann, ben]
        await all_see(left)

        # A second call, on the other media process. It goes on when that of the first is killed.
        (first,) = await carriers(it)
        second = await call_elsewhere(it, first, await group_of(it.at(0), pair), pair)
        assert await carriers(it) == {first, second}
        await all_see(left)
        await fine([*left, *pair])
        it.do("kill", first)
        await over(left)
        await all_see(pair)

        # The next call works.
        await call(group, left)
        it.do("start", first)
        for caller in (ann, pair[0]):
            await caller.page.evaluate("finish(402)")
        await over([*left, *pair])
    assert it.faults() == []
