"""A real Chromium with made-up cameras, for tests of calls: Debian's, spoken to over its DevTools protocol.

    async with Chromium() as browser:
        page = await browser.page("http://127.0.0.1:8000/")
        await page.evaluate("document.title")

It is installed where it is missing and may be; else the test is skipped.
"""

import asyncio
import itertools
import json
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from tools.services.errors import Unavailable
from tools.services.install import Installer, program

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-renderer-backgrounding",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--no-first-run",
    "--no-proxy-server",
    "--mute-audio",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream=fps=20",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-port=0",
)
_START_SECONDS = 60.0
_CALL_SECONDS = 60.0
_POLL_SECONDS = 0.1


class PageError(Exception):
    """What a page threw, or DevTools refused."""


class Page:
    """A tab. `said` is what it wrote to its console, and what it threw."""

    def __init__(self, browser: "Chromium", target: str, session: str) -> None:
        self.said: list[str] = []
        self._browser = browser
        self._target = target
        self._session = session

    async def evaluate(self, script: str) -> Any:
        """Return what an expression is, awaited if it is a promise. Raises PageError."""
        answer = await self._browser.command(
            "Runtime.evaluate",
            {"expression": script, "awaitPromise": True, "returnByValue": True},
            self._session,
        )
        if (thrown := answer.get("exceptionDetails")) is not None:
            raise PageError(thrown.get("exception", {}).get("description") or thrown.get("text"))
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 60.0) -> Any:
        """Return what an expression is as soon as that is true."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := await self.evaluate(script)):
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"never came true: {script}; the page said {self.said}") from None
        return value

    async def close(self) -> None:
        await self._browser.command("Target.closeTarget", {"targetId": self._target})


class Chromium:
    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(Installer(print).require, ["chromium"], lambda: bool(program("chromium")))
        except Unavailable as error:
            pytest.skip(str(error))
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def page(self, url: str) -> Page:
        """Open a tab that may use camera and microphone."""
        target = (await self.command("Target.createTarget", {"url": "about:blank"}))["targetId"]
        attached = await self.command("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = self._pages[attached["sessionId"]] = Page(self, target, attached["sessionId"])
        for domain in ("Runtime", "Page"):
            await self.command(f"{domain}.enable", {}, attached["sessionId"])
        await self.command("Page.navigate", {"url": url}, attached["sessionId"])
        await page.until("document.readyState == 'complete' && location.href != 'about:blank'")
        return page

    async def command(self, method: str, params: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Return the result of a command of DevTools. Raises PageError."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": params}
        try:
            await self._socket.send_json(message | ({"sessionId": session} if session else {}))
            async with asyncio.timeout(_CALL_SECONDS):
                answer = await future
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise PageError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    async def _start(self) -> None:
        profile = self._stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        log = self._stack.enter_context((Path(profile) / "log").open("wb"))
        command = [program("chromium") or "chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # Its home is its own too, so that it neither reads nor writes what a person has set up here.
        environment = os.environ | {"HOME": profile}
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)
        self._stack.push_async_callback(_end, process)
        address = await _devtools(process, Path(profile))
        client = await self._stack.enter_async_context(aiohttp.ClientSession())
        self._socket = await self._stack.enter_async_context(client.ws_connect(address, max_msg_size=0))
        reader = asyncio.create_task(self._read())
        self._stack.callback(reader.cancel)

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                if (future := self._waiting.get(said["id"])) is not None and not future.done():
                    future.set_result(said)
            elif (page := self._pages.get(said.get("sessionId", ""))) is not None:
                _hear(page, said)


def _hear(page: Page, said: dict[str, Any]) -> None:
    params = said.get("params", {})
    if said.get("method") == "Runtime.consoleAPICalled":
        page.said.append(" ".join(str(one.get("value", one.get("description"))) for one in params["args"]))
    elif said.get("method") == "Runtime.exceptionThrown":
        details = params["exceptionDetails"]
        page.said.append(details.get("exception", {}).get("description") or details.get("text"))


async def _devtools(process: asyncio.subprocess.Process, profile: Path) -> str:
    """Return where its DevTools are, as soon as it says so."""
    file = profile / "DevToolsActivePort"
    async with asyncio.timeout(_START_SECONDS):
        while not (file.is_file() and len(lines := file.read_text().split()) == 2):
            if process.returncode is not None:
                raise AssertionError(f"Chromium ended: {(profile / 'log').read_text()[-2000:]}")
            await asyncio.sleep(_POLL_SECONDS)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
