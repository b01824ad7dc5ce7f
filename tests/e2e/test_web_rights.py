"""Who may do what on the chat page, in a real browser: groups, reports, logins, and what nobody may: run code."""

import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, expect

from fsharechat.admin.office import AdminApi
from fsharechat.client import Client, ConnectRefused, login, text
from fsharechat.protocol import messages_pb2 as pb
from tests.e2e.web_people import Enter, befriend, chat_of
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

API_KEY = "a-key-of-the-tests-of-the-page"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("rights")
    async with Server(folder / "data", {"API__KEY": API_KEY}) as running:
        yield running


async def test_a_group_from_its_beginning_to_its_end(server: Server, enter: Enter) -> None:
    ann, ben, cat = [await enter() for _ in range(3)]
    for other in (ben, cat):
        await befriend(server, ann, other)
    await ann.page.get_by_label("New chat").click()
    await ann.choose_all(2)
    await ann.page.locator('[name="groupName"]').fill("hikers")
    await ann.page.get_by_role("button", name="Create a group of 3").click()
    await ann.until_open("hikers")
    await ben.open_chat("hikers")
    await cat.open_chat("hikers")
    await ann.say("who is in?")
    await ben.sees("who is in?")
    await ben.bubble("who is in?").hover()
    await (
        ben.page.locator(".message", has=ben.bubble("who is in?"))
        .get_by_label("Actions for this message")
        .click()
    )
    await ben.page.get_by_role("menuitem", name="Reply").click()
    await ben.say("I am")
    await expect(cat.page.locator(".bubble blockquote")).to_contain_text("who is in?")
    await expect(ann.bubble("who is in?").get_by_text("Read by 2")).to_have_count(1)

    await ann.page.get_by_label("Details").click()
    await ann.page.get_by_label("Name of the group").fill("climbers")
    await ann.page.get_by_label("Name of the group").press("Enter")
    await expect(ben.page.locator(".chat h1")).to_have_text("climbers")
    left_out = ann.page.locator(".members .member", has_text=cat.number[-4:])
    for _ in range(2):  # it asks once
        await left_out.get_by_label("Remove").click()
    await expect(left_out).to_have_count(0)
    await expect(ann.page.locator(".members .member")).to_have_count(2)
    await ann.page.get_by_role("button", name="Dismiss the group").click()
    await ann.page.get_by_role("button", name="Really dismiss").click()
    await expect(ann.page.locator(".conversations .row", has_text="climbers")).to_have_count(0)


async def test_roles_in_a_group(server: Server, enter: Enter, tmp_path: Path) -> None:
    ann, ben, cat = await enter(), await enter(), await enter(locale="zh-CN")
    for other in (ben, cat):
        await befriend(server, ann, other)
    names = [one.number[-4:] for one in (ann, ben, cat)]
    phone = await login(server.at.http, ann.number, SUPER_CODE, "phone")
    async with Client(phone, **server.at.of("ws")) as client:
        made = await client.groups.create("sailors", [await ben.uid, await cat.uid])
    for person in (ann, ben, cat):
        await person.page.goto(f"{person.url}/#/c/1-0-{made}")
        await expect(person.page.locator(".composer textarea")).to_be_visible()
        await person.page.locator(".chat header [aria-expanded]").click()
        await expect(person.page.locator(".members .member")).to_have_count(3)

    async def choose(person: Person, name: str, entry: str) -> None:
        member = person.page.locator(".members .member", has_text=name)
        await member.locator("[aria-haspopup=menu]").click()
        await person.page.get_by_role("menuitem", name=entry).click()

    await choose(ann, names[1], "Make manager")
    await expect(cat.page.locator(".notice").last).to_contain_text("现在是管理员")
    await choose(ben, names[2], "Silence for an hour")
    await expect(ann.page.locator(".members .role", has_text="Silenced until")).to_have_count(1)
    await expect(cat.page.locator(".notice").last).to_contain_text("禁言至")
    await choose(ben, names[2], "Let write again")
    await expect(ann.page.locator(".members .role", has_text="Silenced until")).to_have_count(0)

    await cat.page.locator("[name=groupAlias]").fill("舵手")
    await cat.page.locator("[name=groupAlias] + button").click()
    await expect(cat.page.locator(".members .member", has_text="舵手")).to_have_count(1)
    await cat.say("to the sea")
    await ann.sees("to the sea")
    await ann.say("who comes along?")
    await cat.sees("who comes along?")
    await expect(ann.bubble("who comes along?").get_by_text("Read by")).to_have_count(1)
    await ann.bubble("who comes along?").click(button="right")
    await ann.page.get_by_role("menuitem", name="Who has read this").click()
    await expect(ann.page.locator("dialog section").first).to_contain_text("舵手")
    assert await ann.axe() == []
    await ann.page.keyboard.press("Escape")

    picture = tmp_path / "sail.png"
    Image.new("RGB", (64, 64), "seagreen").save(picture)
    await ann.page.locator(".details input[type=file]").set_input_files(picture)
    await ann.page.locator("dialog").get_by_role("button", name="Save").click()
    await expect(ben.page.locator(".details .portrait img")).to_have_count(1)
    await choose(ann, names[1], "Hand the group over")
    await ann.page.locator("dialog").get_by_role("button", name="Hand the group over").click()
    await expect(ben.page.get_by_role("button", name="Dismiss the group")).to_be_visible()
    await expect(ann.page.get_by_role("button", name="Leave the group")).to_be_visible()
    for person in (ann, ben, cat):
        assert await person.axe() == []


async def do(person: Person, said: str, entry: str) -> None:
    """Choose an entry of the menu of a message."""
    await person.bubble(said).click(button="right")
    await person.page.get_by_role("menuitem", name=entry).click()


async def test_a_message_and_a_user_are_reported(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter(locale="zh-CN")
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    await ann.say("buy my pills")
    await ben.sees("buy my pills")
    await do(ben, "buy my pills", "举报")
    await ben.page.locator("[name=reason]").fill("广告")
    assert await ben.axe() == []
    await ben.page.locator("dialog .primary").click()
    await expect(ben.page.get_by_text("谢谢，管理员会进行处理。")).to_be_visible()
    await ben.page.locator("dialog .primary").click()
    await expect(ben.page.locator("dialog")).to_have_count(0)
    await ann.page.goto(f"{ann.url}/#/contacts/{await ben.uid}")
    await ann.page.get_by_role("button", name="Report").click()
    await ann.page.locator("[name=reason]").fill("no fun at all")
    await ann.page.locator("dialog .primary").click()
    await expect(ann.page.get_by_text("Thank you.")).to_be_visible()
    async with AdminApi(server.at.http, API_KEY) as office:
        found = json.dumps(await office.ask("GET", "admin", "reports"), ensure_ascii=False)
    assert all(said in found for said in ("buy my pills", "广告", "no fun at all")), found


async def test_a_login_by_e_mail_says_what_is_wrong_with_a_code(server: Server, browser: Browser) -> None:
    address = f"{secrets.token_hex(6)}@example.org"
    ann = await Person.open(browser, server.at.http, address)
    await ann.page.locator('[name="number"]').fill(address)
    await ann.page.get_by_role("button", name="Send code").click()
    await expect(ann.page.get_by_role("status")).to_have_text("The code is on its way.")
    await expect(ann.page.get_by_role("button", name=re.compile(r"^\d+ s$"))).to_be_disabled()
    await ann.page.locator('[name="code"]').fill("00000")
    await ann.page.get_by_role("button", name="Log in").click()
    await expect(ann.page.get_by_role("alert")).to_contain_text("code")
    await ann.log_in()
    await ann.page.locator("nav .mine").click()
    await expect(ann.page.get_by_text(address)).to_be_visible()
    await ann.context.close()


async def test_a_session_that_has_ended_leads_to_the_login(server: Server, enter: Enter) -> None:
    ann = await enter()
    device = await ann.page.evaluate("JSON.parse(localStorage.getItem('fsharechat.session')).clientId")
    await login(server.at.http, ann.number, SUPER_CODE, device)  # its old credentials are good no more
    await ann.context.set_offline(True)
    await ann.context.set_offline(False)
    await expect(ann.page.get_by_text("This login has ended")).to_be_visible()
    assert await ann.page.evaluate("localStorage.getItem('fsharechat.session')") is None
    assert await ann.page.evaluate("indexedDB.databases().then(all => all.length)") == 0
    await ann.log_in()
    ann.faults.clear()


async def test_another_device_is_logged_out_from_the_profile(server: Server, enter: Enter) -> None:
    ann = await enter()
    phone = await login(server.at.http, ann.number, SUPER_CODE, "phone")

    async def use_the_phone() -> None:
        async with Client(phone, **server.at.of("ws")) as client:
            await client.devices.list()

    await use_the_phone()
    await ann.page.locator("nav .mine").click()
    await expect(ann.page.locator(".devices li")).to_have_count(2)
    await expect(ann.page.locator(".devices li", has_text="This browser")).to_have_count(1)
    assert await ann.axe() == []
    await ann.page.locator(".devices button").click()
    await ann.page.locator(".devices button", has_text="Really log out?").click()
    await expect(ann.page.locator(".devices li")).to_have_count(1)
    with pytest.raises(ConnectRefused):
        await use_the_phone()


HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "[click](javascript:window.hacked=1)",
    "[click](data:text/html,<script>parent.hacked=1</script>)",
    "![x](https://evil.example/x.png)",
    "<a href='javascript:window.hacked=1'>a</a> **b**",
    "`<svg onload=window.hacked=1>` <svg/onload=window.hacked=1>",
    'https://evil.example/"onmouseover="window.hacked=1',
    "<iframe srcdoc='<script>parent.hacked=1</script>'></iframe> *x*",
    "\u202egnp.exe \u2066 {{constructor.constructor('window.hacked=1')()}}",
)


async def test_nothing_that_others_send_runs(server: Server, enter: Enter) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    phone = await login(server.at.http, ben.number, SUPER_CODE, "phone")
    target = await ann.uid
    async with Client(phone, **server.at.of("ws")) as client:
        for kind, value in ((0, HOSTILE[1]), (1, "javascript:window.hacked=1"), (5, HOSTILE[0])):
            await client.modify_my_info(kind, value)  # type: ignore[arg-type]
        for said in HOSTILE:
            await client.send(target, text(said))
        svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>parent.hacked=1</script></svg>"
        await client.media.send_file(target, svg, name="<img onerror=window.hacked=1>.svg")
        for address in ("javascript:window.hacked=1", "data:text/html,<script>parent.hacked=1</script>", ""):
            for kind in (2, 3, 5, 6):
                await client.send(
                    target,
                    pb.MessageContent(
                        type=kind,
                        media_type=4,
                        searchable_content=HOSTILE[1],
                        content=HOSTILE[0],
                        data=svg,
                        remote_media_url=address,
                    ),
                )
        for kind in (4, 7, 80, 90, 104, 105, 400, 9999):
            if kind not in (80, 104, 105):
                await client.send(target, pb.MessageContent(type=kind, content=HOSTILE[0], data=b"\xff{"))
        await client.send(target, text("the last one"))
    await chat_of(ann, ben)
    await ann.sees("the last one")
    await ann.page.get_by_label("Refuse").click()
    await expect(ann.page.locator(".call")).to_have_count(0)
    links = await ann.page.locator(".chat a").evaluate_all("all => all.map(one => one.href)")
    assert all(link.startswith(("http://", "https://", "mailto:")) for link in links)
    assert (
        await ann.page.locator(
            ".chat :is(script, iframe, object, embed, form form, [onerror], [onload])"
        ).count()
        == 0
    )
    for bubble in await ann.page.locator(".bubble").all():
        await bubble.hover()
    await ann.page.goto(f"{ann.url}/#/contacts/{await ben.uid}")
    await expect(ann.page.locator(".profile h1")).to_have_text(HOSTILE[1])
    assert await ann.page.evaluate("window.hacked") is None
    ann.faults = [fault for fault in ann.faults if "ERR_" not in fault and "Failed to load" not in fault]
