"""Scrolls through a conversation of the chat page like a person, and measures what moves under the eye."""

from typing import NamedTuple

from tools.testing.web import Person

_STEADY = """async () => {
  const box = document.querySelector(".history");
  const place = () => {
    const it = [...box.querySelectorAll(".bubble")].map((one) => one.getBoundingClientRect().top);
    return JSON.stringify(it);
  };
  let same = 0;
  for (let last = "", now; same < 4; last = now) {
    await new Promise(requestAnimationFrame);
    now = place();
    same = now === last && box.getAttribute("aria-busy") !== "true" ? same + 1 : 0;
  }
}"""
"""Waits until nothing moves, and no page of older messages is on its way."""
_PLACES = """() => {
  const box = document.querySelector(".history").getBoundingClientRect();
  return Object.fromEntries([...document.querySelectorAll(".history .bubble .rich")]
    .map((one) => [one.textContent, one.getBoundingClientRect()])
    .filter(([, { top, bottom }]) => bottom > box.top && top < box.bottom)
    .map(([text, { top }]) => [text, top]));
}"""
_SCROLL = """(pixels) => document.querySelector(".history").scrollBy({ top: pixels, behavior: "instant" })"""
"""A wheel's own scrolling is animated, and nobody knows when it ends."""
_HEAP = "Runtime.getHeapUsage"


class ScrollStep(NamedTuple):
    """What one turn did: the most that a message was off its place, px, and the first number shown."""

    off_px: float
    first: int


def _number(text: str) -> int:
    return int(text.split()[1])


class Scroller:
    """The open conversation of a person, whose texts are those of tools.testing.history."""

    def __init__(self, person: Person) -> None:
        self._page = person.page

    async def turn(self, pixels: float) -> ScrollStep:
        """Scroll; up is negative. Messages that are in sight before and after must move by as much."""
        before = await self._page.evaluate(_PLACES)
        await self._page.evaluate(_SCROLL, pixels)
        await self._page.evaluate(_STEADY)
        after = await self._page.evaluate(_PLACES)
        off = [abs(after[text] - before[text] + pixels) for text in before.keys() & after.keys()]
        return ScrollStep(max(off, default=0.0), min(map(_number, after)))

    async def heap_mb(self) -> float:
        """Return the JavaScript heap of the page after a collection, MB."""
        devtools = await self._page.context.new_cdp_session(self._page)
        await devtools.send("HeapProfiler.collectGarbage")
        used = (await devtools.send(_HEAP))["usedSize"]
        await devtools.detach()
        return float(used) / 1e6

    async def elements(self) -> int:
        """Return how many messages have elements."""
        return await self._page.locator(".history .bubble").count()
