"""Pictures and files on their way up from the chat page: pasted, dropped, and cut off in the middle."""

import secrets
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.e2e.web_people import befriend, chat_of
from tools.services.service import free_port
from tools.testing.cluster import new_numbers
from tools.testing.server import Server
from tools.testing.web import Person, build_pages
from tools.wire.proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PASTE_AND_DROP = """async (how) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [how === "paste" ? 90 : 120, 60];
    const context = canvas.getContext("2d");
    context.fillStyle = "teal";
    context.fillRect(0, 0, 120, 60);
    const blob = await new Promise((done) => canvas.toBlob(done));
    const data = new DataTransfer();
    data.items.add(new File([blob], `${how}.png`, { type: "image/png" }));
    const bubbles = { bubbles: true, cancelable: true };
    if (how === "paste") {
        const field = document.querySelector(".composer textarea");
        return !field.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, ...bubbles }));
    }
    const pane = document.querySelector(".chat .messages") ?? document.querySelector(".chat");
    for (const what of ["dragover", "drop"])
        if (pane.dispatchEvent(new DragEvent(what, { dataTransfer: data, ...bubbles }))) return false;
    return true;
}"""
"""Paste or drop a picture, as the system would. Returns whether the page took it from the browser's own hands."""

PASTE_TEXT = """() => {
    const data = new DataTransfer();
    data.setData("text/plain", "words");
    const paste = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
    return !document.querySelector(".composer textarea").dispatchEvent(paste);
}"""


async def test_pictures_are_pasted_and_dropped(tmp_path: Path, browser: Browser) -> None:
    await build_pages()
    async with Server(tmp_path / "data", {}) as server:
        ann, ben = await two_people(browser, server)
        for number, (how, width) in enumerate((("paste", 90), ("drop", 120)), 1):
            assert await ann.page.evaluate(PASTE_AND_DROP, how)
            await expect(ann.page.locator("dialog img")).to_have_count(1)
            assert await ann.axe() == []
            await ann.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
            shown = ben.page.locator(".picture .whole")
            await expect(shown).to_have_count(number)
            await expect(shown.last).to_have_js_property("naturalWidth", width)

        # A pasted text is left to the browser.
        assert not await ann.page.evaluate(PASTE_TEXT)
        await expect(ann.page.locator("dialog")).to_have_count(0)
        assert ann.faults == ben.faults == []


async def test_a_file_goes_on_where_its_upload_broke(tmp_path: Path, browser: Browser) -> None:
    await build_pages()
    port = free_port()
    proxy = Proxy(f"127.0.0.1:{port}")
    settings = {"API__PORT": str(port), "BLOBS__PUBLIC_URL": f"http://{await proxy.open()}"}
    file = tmp_path / "film.bin"
    file.write_bytes(secrets.token_bytes(20 << 20))
    async with AsyncExitStack() as stack:
        stack.push_async_callback(proxy.close)
        server = await stack.enter_async_context(Server(tmp_path / "data", settings))
        ann, ben = await two_people(browser, server)
        proxy.cut_at = 14 << 20
        await ann.page.locator(".composer input[type=file]").set_input_files(file)
        await ann.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
        await expect(ben.page.locator("a.file", has_text=file.name)).to_have_count(1)
        sent = len(proxy.seen)
        assert not proxy.cut_at, "the connection did not break"
        assert sent < file.stat().st_size + (8 << 20), "the first part was sent again"
        async with ben.page.expect_download() as coming:
            await ben.page.locator("a.file", has_text=file.name).click()
        got = await (await coming.value).path()
        assert sha256(got.read_bytes()).digest() == sha256(file.read_bytes()).digest()
        assert [fault for fault in ann.faults if "ERR_" not in fault] == []


async def two_people(browser: Browser, server: Server) -> list[Person]:
    """Let two friends open their conversation."""
    people = [await Person.open(browser, server.at.http, number) for number in new_numbers(2)]
    for person in people:
        await person.log_in()
    await befriend(server, *people)
    await chat_of(people[0], people[1])
    await chat_of(people[1], people[0])
    return people
