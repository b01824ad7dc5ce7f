"""The chat page in Chromium: how large it is, how soon it shows a list, and what it needs for a long history."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from playwright.async_api import Page, expect

from fsharechat.client import login
from tools.testing.history import MadeHistory
from tools.testing.scrolling import Scroller
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import ROOT, Person, build_pages, web_browser

CONVERSATIONS = 500
MESSAGES = 100_000
_TIMES = 7
_STEP_PX = -600.0
_BOUND_MS = 120_000
_NUMBER = "13800000001"
_DIST = ROOT / "roles/api/web/dist"
_ENDINGS = (".br", ".gz", "")
_LOADED = "() => performance.getEntriesByType('resource').map((one) => one.name)"
_LIST_SHOWN = """async (selector) => {
  const began = performance.now();
  document.querySelector(selector).click();
  while (!document.querySelector(".conversations .row")) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


class WebResult(NamedTuple):
    """`loads`: what was loaded until then, KB by brotli, gzip and neither; its scripts. Times are medians."""

    loads: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    click_ms: float
    reload_ms: float
    heaps_mb: tuple[float, float]
    elements: int
    scrolled: int


async def run_web(folder: Path, scrolled: int) -> WebResult:
    """Measure the page of a server of its own, with a history of MESSAGES and a list of CONVERSATIONS."""
    await build_pages()
    place = Path(tempfile.mkdtemp(dir=folder))
    server = Server(place / "data")
    try:
        async with server:
            uid = (await login(server.at.http, _NUMBER, SUPER_CODE, "phone")).user_id
        partner = await _made(server, uid)
        async with server, web_browser() as browser:
            person = await Person.open(browser, server.at.http, _NUMBER)
            loads = {"the login": await _loaded(person.page)}
            await person.log_in()
            await expect(person.page.locator(".conversations .row").first).to_be_visible()
            loads["the list of conversations"] = await _loaded(person.page)
            await _all_here(person.page)
            clicks = [await _clicked(person.page) for _ in range(_TIMES)]
            reloads = [await _reloaded(person.page) for _ in range(_TIMES)]
            await person.page.goto(f"{person.url}/#/c/0-0-{partner}")
            last = person.page.locator(".bubble", has_text=f"number {MESSAGES - 1}")
            await expect(last).to_have_count(1)
            loads["a conversation"] = await _loaded(person.page)
            scroller = Scroller(person)
            before = await scroller.heap_mb()
            first = MESSAGES
            while first > MESSAGES - scrolled:
                first = (await scroller.turn(_STEP_PX)).first
            after, elements = await scroller.heap_mb(), await scroller.elements()
            await person.context.close()
    finally:
        shutil.rmtree(place)
    middle = statistics.median
    return WebResult(loads, middle(clicks), middle(reloads), (before, after), elements, MESSAGES - first)


async def _made(server: Server, uid: str) -> str:
    now = int(time.time() * 1000)
    async with MadeHistory(server.data) as made:
        numbers = [f"139{number:08}" for number in range(CONVERSATIONS)]
        names = [f"Person {number}" for number in range(CONVERSATIONS)]
        partner, *others = await made.befriend(uid, numbers, names, now)
        await made.talk(uid, partner, MESSAGES, now)
        for other in others:
            await made.talk(uid, other, 1, now)
    return partner


async def _all_here(page: Page) -> None:
    """Wait until the browser has all conversations."""
    count = """async ([uid, wanted]) => {
      const open = indexedDB.open(`fsharechat-${uid}`);
      const db = await new Promise((done) => (open.onsuccess = () => done(open.result)));
      const asked = db.transaction("conversations").objectStore("conversations").count();
      const found = await new Promise((done) => (asked.onsuccess = () => done(asked.result)));
      db.close();
      return found >= wanted;
    }"""
    uid = await page.evaluate("JSON.parse(localStorage.getItem('fsharechat.session')).userId")
    await page.wait_for_function(count, arg=[uid, CONVERSATIONS], timeout=_BOUND_MS)


async def _clicked(page: Page) -> float:
    await page.goto(f"{page.url.partition('#')[0]}#/contacts")
    await expect(page.locator(".conversations")).to_have_count(0)
    return float(await page.evaluate(_LIST_SHOWN, 'nav a[href="#/"]'))


async def _reloaded(page: Page) -> float:
    began = time.monotonic()
    await page.reload()
    await expect(page.locator(".conversations .row").first).to_be_visible()
    return (time.monotonic() - began) * 1000


async def _loaded(page: Page) -> tuple[list[float], list[float]]:
    """Return the size of the page's own files that are loaded by now, and of the scripts among them, KB by ending."""
    paths = {urlsplit(url).path.lstrip("/") for url in await page.evaluate(_LOADED)} | {"index.html"}
    files = [_DIST / path for path in paths if (_DIST / path).is_file()]
    scripts = [file for file in files if file.suffix == ".js"]
    return _sizes(files), _sizes(scripts)


def _sizes(files: Sequence[Path]) -> list[float]:
    return [sum(_size(file, ending) for file in files) / 1000 for ending in _ENDINGS]


def _size(file: Path, ending: str) -> int:
    made = file.with_name(file.name + ending)
    return (made if made.exists() else file).stat().st_size


def web_table(result: WebResult) -> str:
    """Return the result as tables of Markdown."""
    lines = [
        "| loaded until | KB, brotli | gzip | as they are | scripts alone, brotli | gzip |",
        "|---|---|---|---|---|---|",
    ]
    for name, (whole, scripts) in result.loads.items():
        cells = [*whole, *scripts[:2]]
        lines.append(f"| {name} | {' | '.join(f'{cell:.0f}' for cell in cells)} |")
    before, after = result.heaps_mb
    lines += [
        "",
        "| | |",
        "|---|---|",
        f"| a click to the list of {CONVERSATIONS} conversations | {result.click_ms:.0f} ms |",
        f"| a reload to that list | {result.reload_ms:.0f} ms |",
        f"| JavaScript heap with a conversation open | {before:.1f} MB |",
        f"| after {result.scrolled:,} messages scrolled past, of {MESSAGES:,} | {after:.1f} MB |",
        f"| messages that have elements then | {result.elements} |",
    ]
    return "\n".join(lines)
