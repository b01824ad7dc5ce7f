"""The chat page in a real browser, on a whole server: what people do, and what others see of it."""

import json
import re
import secrets
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, expect

from fsharechat.admin.office import AdminApi
from fsharechat.client import Client, ConnectRefused, login, text
from fsharechat.protocol import messages_pb2 as pb
from tests.e2e.web_people import Enter, befriend, chat_of, open_conversation
from tools.services.service import free_port
from tools.testing.cluster import new_numbers
from tools.testing.echo_robot import echo_robot
from tools.testing.nginx import NAME, before, nginx
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

API_KEY = "a-key-of-the-tests-of-the-page"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("web")
    with echo_robot() as agent:
        robots = json.dumps([{"uid": "assistant", "name": "Assistant", "agent": agent}])
        async with Server(folder / "data", {"ROBOTS__AGENTS": robots, "API__KEY": API_KEY}) as running:
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


async def test_a_group_from_its_beginning_to_its_end(server: Server, enter: Enter) -> None:
    ann, ben, cat = [await enter() for _ in range(3)]
    for other in (ben, cat):
        await befriend(server, ann, other)
    await ann.page.get_by_label("New chat").click()
    await expect(ann.page.locator("dialog input[type=checkbox]")).to_have_count(2)
    for box in await ann.page.locator("dialog input[type=checkbox]").all():
        await box.check()
    await ann.page.locator('[name="groupName"]').fill("hikers")
    await ann.page.get_by_role("button", name="Create a group of 3").click()
    await ben.open_chat("hikers")
    await cat.open_chat("hikers")
    await ann.say("who is in?")
    await ben.sees("who is in?")
    await ben.page.locator(".bubble").last.hover()
    await ben.page.get_by_label("Actions for this message").last.click()
    await ben.page.get_by_role("menuitem", name="Reply").click()
    await ben.say("I am")
    await expect(cat.page.locator(".bubble blockquote")).to_contain_text("who is in?")
    await expect(ann.bubble("who is in?").get_by_text("Read by 2")).to_have_count(1)

    await ann.page.get_by_label("Details").click()
    await ann.page.get_by_label("Name of the group").fill("climbers")
    await ann.page.get_by_label("Name of the group").press("Enter")
    await expect(ben.page.locator(".chat h1")).to_have_text("climbers")
    await ann.page.locator(".details").get_by_label("Remove").first.click()
    await ann.page.locator(".details").get_by_label("Remove").first.click()
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


async def test_a_robot_answers_and_people_keep_others_away(server: Server, enter: Enter) -> None:
    ann, ben, cat = await enter(), await enter(), await enter()
    await befriend(server, ann, ben)
    await ann.page.goto(f"{ann.url}/#/c/0-0-assistant")
    await ann.page.evaluate(
        "window.streamed = []; new MutationObserver(() => document.querySelectorAll('.stream')"
        ".forEach((one) => streamed.push(one.textContent)))"
        ".observe(document.body, {childList: true, subtree: true, characterData: true})"
    )
    await ann.say("are you there, robot?")
    answer = ann.page.locator(".message:not(.mine) .bubble", has_text="are you there, robot?")
    await expect(answer).to_have_count(1)
    await expect(ann.page.locator(".stream")).to_have_count(0)
    assert len(set(await ann.page.evaluate("streamed"))) > 1

    await chat_of(ann, ben)
    await ann.page.goto(f"{ann.url}/#/c/0-0-assistant")
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


SHAPE = "(({ videoWidth, videoHeight }) => videoWidth / videoHeight)(document.querySelector('.call .theirs'))"


async def test_two_people_call_each_other(server: Server, enter: Enter) -> None:
    media = ["camera", "microphone"]
    ann, ben = await enter(permissions=media), await enter(permissions=media, locale="zh-CN")
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    other_tab = await ben.tab()
    await ann.page.get_by_label("Video call").click()
    for tab in (ben, other_tab):
        await expect(tab.page.get_by_text("邀请你视频通话")).to_be_visible()
    assert await ben.axe() == []
    await other_tab.page.get_by_label("接听").click()
    await expect(ben.page.locator(".call")).to_have_count(0)
    for person in (ann, other_tab):
        await expect(person.page.locator(".call .dim")).to_have_text(re.compile(r"^0:\d\d$"))
        await person.page.wait_for_function("document.querySelector('.call .theirs').videoWidth > 0")
    await ann.page.get_by_label("Mute the microphone").click()
    await ann.page.get_by_label("Turn the camera off").click()
    own = "[...document.querySelector('.call .own').srcObject.getTracks()].map((one) => one.enabled)"
    assert await ann.page.evaluate(own) == [False, False]
    await ann.page.get_by_label("Turn the camera off").click()
    assert sorted(await ann.page.evaluate(own)) == [False, True]

    # The screen takes the place of the camera, on the other side too, and goes again.
    camera = await other_tab.page.evaluate(SHAPE)
    await ann.page.get_by_label("Show your screen").click()
    await expect(ann.page.locator(".call .own.shares")).to_have_count(1)
    source = "document.querySelector('.call .own').srcObject.getVideoTracks()[0].getSettings().displaySurface"
    assert await ann.page.evaluate(source) in ("monitor", "window", "browser")
    await other_tab.page.wait_for_function(f"() => {SHAPE} !== {camera}")
    await ann.page.get_by_label("Show your screen").click()
    await other_tab.page.wait_for_function(f"() => {SHAPE} === {camera}")
    assert await ann.axe() == []
    await ann.page.get_by_label("Hang up").click()
    await expect(other_tab.page.get_by_text("通话已结束")).to_be_visible()
    for person in (ann, other_tab):
        await expect(person.page.locator(".call")).to_have_count(0)

    await ann.page.get_by_label("Voice call").click()
    await expect(other_tab.page.get_by_text("邀请你语音通话")).to_be_visible()
    await ben.page.get_by_label("拒绝").click()
    await expect(ann.page.get_by_text("The call is over")).to_be_visible()
    await expect(other_tab.page.locator(".call")).to_have_count(0)


def digest_of(file: Path) -> bytes:
    return sha256(file.read_bytes()).digest()


async def test_files_arrive_as_they_were_sent_both_ways(server: Server, enter: Enter, tmp_path: Path) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    for sender, receiver, size in ((ann, ben, 3_000_000), (ben, ann, 17)):
        file = tmp_path / f"报告 {size}.bin"
        file.write_bytes(secrets.token_bytes(size))
        await sender.page.locator(".composer input[type=file]").set_input_files(file)
        await sender.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
        async with receiver.page.expect_download() as coming:
            await receiver.page.locator("a.file", has_text=file.name).click()
        got = await (await coming.value).path()
        assert digest_of(got) == digest_of(file)

    picture = tmp_path / "sky.png"
    Image.new("RGB", (640, 480), "skyblue").save(picture)
    await ann.page.locator(".composer input[type=file]").set_input_files([picture, picture])
    await ann.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
    await expect(ben.page.locator(".picture .whole")).to_have_count(2)
    await ben.page.locator(".picture").first.click()
    await expect(ben.page.locator("dialog").get_by_text("1 / 2")).to_be_visible()
    await ben.page.keyboard.press("ArrowRight")
    await expect(ben.page.locator("dialog").get_by_text("2 / 2")).to_be_visible()
    await ben.page.keyboard.press("Escape")


async def test_a_voice_message_is_recorded_and_played(server: Server, enter: Enter) -> None:
    ann, ben = await enter(permissions=["microphone"]), await enter()
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    await ann.page.get_by_label("Record a voice message").click()
    await expect(ann.page.locator(".recording")).to_contain_text("1 s")
    await ann.page.get_by_label("Send the voice message").click()
    await expect(ben.page.locator(".voice")).to_contain_text("1 s")
    await ben.page.wait_for_function(
        "async () => { const it = document.querySelector('audio'); await it.play(); return it.currentTime > 0; }"
    )


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
    await ben.page.locator(".composer textarea").press_sequentially("hm")
    await expect(ann.page.get_by_text("is typing …")).to_be_visible()
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


async def test_one_host_behind_nginx(tmp_path: Path, browser: Browser) -> None:
    """With deploy/nginx/fsharechat.conf, here without TLS."""
    port = free_port()
    listen = f"127.0.0.1:{port}"
    settings = {"WEB__WS_URL": "/ws", "BLOBS__PUBLIC_URL": f"http://{listen}"}
    async with Server(tmp_path / "proxied", settings) as server:
        changes = {
            "listen 443 ssl": f"listen {listen}",
            "listen 80": f"listen 127.0.0.1:{free_port()}",
            f"    ssl_certificate /etc/ssl/{NAME}.pem;\n": "",
            f"    ssl_certificate_key /etc/ssl/private/{NAME}.key;\n": "",
        }
        async with nginx(tmp_path / "nginx", port, changes | before(server.at)):
            people = [await Person.open(browser, f"http://{listen}", number) for number in new_numbers(2)]
            for person in people:
                await person.log_in()
            ann, ben = people
            await befriend(server, ann, ben)
            await chat_of(ann, ben)
            await chat_of(ben, ann)
            await ann.say("by way of nginx")
            await ben.sees("by way of nginx")
            picture = tmp_path / "sky.png"
            Image.new("RGB", (64, 48), "skyblue").save(picture)
            await ben.page.locator(".composer input[type=file]").set_input_files(picture)
            await ben.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
            await expect(ann.page.locator(".picture .whole")).to_have_count(1)
            assert [fault for person in people for fault in person.faults] == []
            for person in people:
                await person.context.close()
