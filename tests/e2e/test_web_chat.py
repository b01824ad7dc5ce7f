"""The chat page in a real browser, on a whole server: what people do every day, and what others see of it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from fsharechat.client import Client, login, text
from tests.e2e.web_people import Enter, befriend, chat_of, open_conversation
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


class SlowAgent:
    """An agent that says a question again. It says the first word, and goes on when `go_on` is set."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.address = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/stream", self._stream)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        first, space, rest = str((await request.json())["question"]).partition(" ")
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        await response.write(first.encode())
        await self.go_on.wait()
        await response.write((space + rest).encode())
        await response.write_eof()
        return response


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent() -> AsyncIterator[SlowAgent]:
    async with SlowAgent() as listening:
        yield listening


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory, agent: SlowAgent) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("web")
    robots = json.dumps([{"uid": "assistant", "name": "Assistant", "agent": agent.address}])
    async with Server(folder / "data", {"ROBOTS__AGENTS": robots}) as running:
        yield running


async def test_two_people_become_friends_talk_and_see_what_was_read(enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await ann.page.locator("nav").get_by_text("Contacts").click()
    await ann.page.locator('[name="search"]').fill(ben.number)
    await ann.page.locator('[name="search"]').press("Enter")
    await ann.page.locator(".found").click()
    await ann.page.get_by_role("button", name="Ask for friendship").click()
    await expect(ann.page.get_by_role("button", name="Asked")).to_be_disabled()
    await ben.page.locator("nav").get_by_text("Contacts").click()
    await ben.page.get_by_role("button", name="Accept").click()
    await expect(ben.page.get_by_text("Accepted")).to_be_visible()
    await ann.page.get_by_role("button", name="Send a message").click()
    await ann.say("good morning")
    await expect(ann.bubble("good morning").get_by_text("Delivered")).to_have_count(1)
    await expect(ben.page.locator("nav .badge").first).to_have_text("2")
    await ben.page.locator("nav").get_by_text("Chats").click()
    await ben.page.locator(".conversations .row").click()
    await ben.sees("good morning")
    await expect(ann.bubble("good morning").get_by_text("Read")).to_have_count(1)
    await ben.say("**hello** Ann")
    await expect(ann.page.locator(".bubble strong")).to_have_text("hello")
    await expect(ben.page.locator(".conversations .badge")).to_have_count(0)


async def test_a_text_is_edited_and_reacted_to(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter(locale="zh-CN", color_scheme="dark")
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    await ann.say("se you at nine")
    await ben.sees("se you at nine")
    await ann.page.locator(".composer textarea").fill("a draft")
    await ann.bubble("se you at nine").click(button="right")
    await ann.page.get_by_role("menuitem", name="Edit").click()
    await expect(ann.page.locator(".composer textarea")).to_have_value("se you at nine")
    await ann.say("see you at nine")
    for person in (ann, ben):
        await person.sees("see you at nine")
    await expect(ben.bubble("see you at nine")).to_contain_text("已编辑")
    await expect(ben.page.locator(".conversations .row")).to_contain_text("see you at nine")
    await expect(ann.page.locator(".composer textarea")).to_have_value("a draft")

    await ben.bubble("see you at nine").click(button="right")
    await ben.page.get_by_role("menuitem", name="用👍回应").click()
    liked = ann.page.locator(".reactions button")
    await expect(liked).to_have_text("👍 1")
    await liked.click()
    await expect(ben.page.locator(".reactions button")).to_have_text("👍 2")
    await ben.bubble("see you at nine").click(button="right")
    for person in (ann, ben):
        assert await person.axe() == []
    await ben.page.keyboard.press("Escape")
    await ann.context.set_offline(True)
    await ben.page.locator(".reactions button").click()
    await expect(ben.page.locator(".reactions button")).to_have_text("👍 1")
    await ann.context.set_offline(False)
    await expect(liked).to_have_text("👍 1")
    ann.faults.clear()


async def test_a_robot_answers_and_people_keep_others_away(
    server: Server, enter: Enter, agent: SlowAgent
) -> None:
    ann, ben, cat = await enter(), await enter(), await enter()
    await befriend(server, ann, ben)
    await open_conversation(ann, "0-0-assistant")
    await ann.say("are you there, robot?")
    await expect(ann.page.locator(".stream")).to_contain_text("are")
    await expect(ann.page.locator(".stream")).not_to_contain_text("you")
    agent.go_on.set()
    answer = ann.page.locator(".message:not(.mine) .bubble", has_text="are you there, robot?")
    await expect(answer).to_have_count(1)
    await expect(ann.page.locator(".stream")).to_have_count(0)

    await chat_of(ann, ben)
    await open_conversation(ann, "0-0-assistant")
    await answer.click(button="right")
    await ann.page.get_by_role("menuitem", name="Forward").click()
    await ann.page.locator("dialog .row", has_text=ben.number[-4:]).click()
    await chat_of(ben, ann)
    await ben.sees_part("are you there, robot?")
    await chat_of(ann, ben)
    await ann.page.locator(".bubble", has_text="robot").click(button="right")
    await ann.page.get_by_role("menuitem", name="Recall").click()
    await expect(ben.page.locator(".notice").last).to_contain_text("recalled a message")
    await expect(ben.page.locator(".bubble", has_text="robot")).to_have_count(0)

    await ann.page.goto(f"{ann.url}/#/contacts/{await ben.uid}")
    await ann.page.get_by_label("Alias").fill("Benny")
    await ann.page.get_by_role("button", name="Save").click()
    await expect(ann.page.locator(".profile h1")).to_have_text("Benny")
    await ann.page.get_by_role("button", name="Block").click()
    await expect(ann.page.get_by_role("button", name="Unblock")).to_be_visible()
    await ben.say("do you hear me?")
    await expect(ben.page.get_by_role("alert").filter(has_text="Not sent")).to_be_visible()
    await ann.page.get_by_role("button", name="Unblock").click()
    await expect(ann.page.get_by_role("button", name="Send a message")).to_be_visible()
    await ben.page.get_by_role("button", name="Try again").click()
    await chat_of(ann, ben)
    await ann.sees("do you hear me?")
    await expect(ann.page.locator(".chat h1")).to_have_text("Benny")

    await cat.page.goto(f"{cat.url}/#/contacts/{await ann.uid}")
    await cat.page.get_by_role("button", name="Ask for friendship").click()
    await expect(cat.page.get_by_role("button", name="Asked")).to_be_disabled()
    await ann.page.locator("nav .place").nth(1).click()
    await ann.page.get_by_role("button", name="Refuse").click()
    await expect(ann.page.get_by_text("Refused")).to_be_visible()


async def test_what_is_typed_while_the_server_is_dead_arrives_once_and_in_order(
    server: Server, enter: Enter
) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    await ann.say("before")
    await ben.sees("before")
    await server.kill()
    for number in range(5):
        await ann.say(f"typed {number}")
    await expect(ann.bubble("typed 4").get_by_text("Waiting to be sent")).to_have_count(1)
    await server.start()
    await ben.sees("typed 4")
    said = await ben.page.locator(".bubble .rich").all_text_contents()
    assert said[-5:] == [f"typed {number}" for number in range(5)]
    await expect(ann.bubble("typed 4").get_by_text("Waiting to be sent")).to_have_count(0)
    for person in (ann, ben):  # a server that is away is no fault of the page
        person.faults.clear()


async def test_chats_are_found_kept_on_top_muted_searched_and_deleted(server: Server, enter: Enter) -> None:
    ann, ben, cat = [await enter() for _ in range(3)]
    for other, said in ((ben, "here is Ben"), (cat, "here is Cat")):
        await befriend(server, ann, other)
        await chat_of(other, ann)
        await other.say(said)
    chats = ann.page.locator(".conversations .row")
    await expect(chats.first).to_contain_text("here is Cat")
    await expect(ann.page).to_have_title(re.compile(r"^\([1-9]\d*\) "))
    await ann.page.get_by_label("Find a chat").fill(ben.number[-4:])
    await expect(chats).to_have_count(1)
    await ann.page.get_by_label("Find a chat").fill("")

    await chat_of(ann, ben)
    await ann.page.get_by_label("Details").click()
    await ann.page.get_by_label("Keep on top").check()
    await expect(chats.first).to_contain_text("here is Ben")
    await ann.page.get_by_label("Mute", exact=True).check()
    late = await Person.open(ann.context.browser, server.at.http, ann.number)  # type: ignore[arg-type]
    await late.log_in()  # what is on top and what is muted is of the user, not of the browser
    await expect(late.page.locator(".conversations .row.top")).to_contain_text("here is Ben")
    await ben.say("not so loud")
    await expect(late.page.locator(".conversations .badge.quiet")).to_have_count(1)
    assert late.faults == []
    await late.context.close()

    await ann.sees("not so loud")
    await ann.page.get_by_label("Search in this chat").fill("LOUD")
    await expect(ann.page.locator(".details .hit")).to_have_count(1)
    await ann.page.get_by_label("Search in this chat").fill("")
    await ann.page.get_by_role("button", name="Delete this chat").click()
    await ann.page.get_by_role("button", name="Really delete it in this browser?").click()
    await expect(chats).to_have_count(1)
    await ben.say("still there?")
    await expect(chats).to_have_count(2)
    await chat_of(ann, ben)
    await ann.sees("still there?")


async def test_what_one_does_with_texts(server: Server, enter: Enter) -> None:
    ann, ben = await enter(permissions=["clipboard-read", "clipboard-write"]), await enter()
    await befriend(server, ann, ben)
    await chat_of(ben, ann)
    await ben.say("a good address: example.org")
    await chat_of(ann, ben)
    await ann.sees_part("a good address")
    for _ in range(10):  # it is shown for six seconds, which a busy machine may miss
        await ben.page.locator(".composer textarea").press_sequentially("hm")
        with suppress(AssertionError):
            await expect(ann.page.get_by_text("is typing …")).to_be_visible(timeout=5000)
            break
    else:
        raise AssertionError("nobody sees that somebody types")
    await ann.page.bring_to_front()
    await ann.page.locator(".bubble", has_text="a good address").click(button="right")
    await ann.page.get_by_role("menuitem", name="Copy").click()
    await expect(ann.page.get_by_role("menuitem")).to_have_count(0)
    assert await ann.page.evaluate("navigator.clipboard.readText()") == "a good address: example.org"
    await ann.page.locator(".bubble", has_text="a good address").click(button="right")
    await ann.page.get_by_role("menuitem", name="Delete here").click()
    await expect(ann.page.locator(".bubble", has_text="a good address")).to_have_count(0)
    await expect(ben.page.locator(".bubble", has_text="a good address")).to_have_count(1)
    await ann.page.locator(".composer textarea").fill("not finished")
    await ann.page.locator("nav").get_by_text("Contacts").click()
    await ann.page.locator("nav").get_by_text("Chats").click()
    await expect(ann.page.locator(".conversations .row")).to_contain_text("[Draft]")
    await ann.page.locator(".conversations .row").click()
    await expect(ann.page.locator(".composer textarea")).to_have_value("not finished")


async def test_somebody_is_mentioned_by_name(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    phone = await login(server.at.http, ann.number, SUPER_CODE, "makes a group")
    async with Client(phone, **server.at.of("ws")) as client:
        made = await client.groups.create("readers", [await ben.uid])
    await open_conversation(ann, f"1-0-{made}")
    field = ann.page.locator(".composer textarea")
    await field.press_sequentially(f"look, @{ben.number[-4:]}")
    await expect(ann.page.get_by_role("option")).to_have_count(1)
    await field.press("Enter")
    await expect(ann.page.get_by_role("option")).to_have_count(0)
    await field.press("Enter")
    await expect(ben.page.locator(".conversations .row", has_text="readers")).to_contain_text("[@you]")
    await ben.open_chat("readers")
    await ben.sees_part("look, @")


WATCH_NOTICES = """
window.Notification = class {
  static permission = "granted";
  static requestPermission = async () => "granted";
  constructor(title, { body }) { document.body.dataset.shown = (document.body.dataset.shown ?? "") + body; }
  close() {}
};
document.hasFocus = () => false;
"""


async def test_the_system_tells_of_news_unless_one_does_not_want_that(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    await chat_of(ben, ann)
    await ann.page.evaluate(WATCH_NOTICES)
    await ann.page.locator("nav .mine").click()
    await ann.page.get_by_label("Notifications of the system").check()
    body = ann.page.locator("body")
    await ben.say("one")
    await expect(body).to_have_attribute("data-shown", "one")
    await ann.page.get_by_label("Do not disturb").check()
    await ben.say("two")
    await expect(ben.bubble("two").get_by_text("Delivered")).to_have_count(1)
    await ann.page.get_by_label("Do not disturb").uncheck()
    await ben.say("three")
    await expect(body).to_have_attribute("data-shown", "onethree")


async def test_three_tabs_are_one_device(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    tabs = [ann, *[await ann.tab() for _ in range(2)]]
    await chat_of(ben, ann)
    for tab in tabs:
        await chat_of(tab, ben)
    await ben.say("to every tab")
    for tab in tabs:
        await tab.sees("to every tab")
    await tabs[2].say("from the third")
    for tab in (*tabs, ben):
        await tab.sees("from the third")
    await ann.page.close()  # it had the connection
    await tabs[1].say("from the second")
    await ben.sees("from the second")
    await ben.say("and back")
    await tabs[2].sees("and back")


async def test_a_long_history_is_there_by_scrolling_up(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    phone = await login(server.at.http, ben.number, SUPER_CODE, "talks")
    target = await ann.uid
    async with Client(phone, **server.at.of("ws")) as client:
        for number in range(150):
            await client.send(target, text(f"number {number}"))
    late = await Person.open(ann.context.browser, server.at.http, ann.number)  # type: ignore[arg-type]
    await late.log_in()  # a new browser has the newest alone, and fetches the others
    await chat_of(late, ben)
    await late.sees("number 149")
    await late.page.locator(".history").hover()
    before = 149
    while before > 0:
        await late.page.mouse.wheel(0, -1500)
        await late.page.evaluate(
            "new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))"
        )
        shown = await late.page.locator(".bubble .rich").all_text_contents()
        first = min(int(one.split()[1]) for one in shown if one.startswith("number"))
        assert first <= before + 15, "it jumped back by more than a window"
        before = min(first, before)
    await late.page.get_by_label("To the newest message").click()
    await late.sees("number 149")
    assert late.faults == []
    await late.context.close()


async def test_on_a_phone_there_is_one_column(server: Server, enter: Enter) -> None:
    ann, ben = await enter(viewport={"width": 360, "height": 640}), await enter()
    await befriend(server, ann, ben)
    await chat_of(ben, ann)
    await ben.say(f"long {'word' * 100} <https://example.org/{'path' * 50}>")
    await ann.page.locator(".conversations .row").click()
    await ann.sees_part("long")
    await expect(ann.page.locator(".conversations")).to_be_hidden()
    await ann.page.get_by_label("Back to the list").click()
    await expect(ann.page.locator(".conversations .row")).to_be_visible()
    for path in ("/#/", "/#/contacts", "/#/me", f"/#/c/0-0-{await ben.uid}"):
        await ann.page.goto(f"{ann.url}{path}")
        await expect(ann.page.locator(".view")).to_be_visible()
        assert await ann.page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_axe_finds_nothing_serious(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter(color_scheme="dark", locale="zh-CN")
    await befriend(server, ann, ben)
    await chat_of(ben, ann)
    await ben.say("a `text` with https://example.org/")
    for person, other in ((ann, ben), (ben, ann)):
        conv = f"/#/c/0-0-{await other.uid}"
        for path in ("/#/", "/#/contacts", f"/#/contacts/{await other.uid}", "/#/me", conv):
            await person.page.goto(f"{person.url}{path}")
            await expect(person.page.locator(".view")).to_be_visible()
            assert await person.axe() == [], path
        await person.page.locator(".chat header [aria-expanded]").click()
        await expect(person.page.locator(".details")).to_be_visible()
        assert await person.axe() == []
    stranger = await Person.open(ann.context.browser, server.at.http, "13900000000")  # type: ignore[arg-type]
    assert await stranger.axe() == []
    await stranger.context.close()
