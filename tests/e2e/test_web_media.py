"""Calls, files, videos, places, cards and portraits on the chat page in a real browser: what arrives is measured."""

import re
import secrets
from base64 import b64decode
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Locator, expect

from fsharechat.client import Client, login
from tests.e2e.web_people import Enter, befriend, chat_of, open_conversation
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MEDIA = ["camera", "microphone"]
MOVES = """async (uid) => {
    const video = document.querySelector(`.tile[data-uid="${uid}"] video`);
    if (!video?.videoWidth || video.paused) return false;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 32;
    const context = canvas.getContext("2d");
    const taken = () => {
        context.drawImage(video, 0, 0, 32, 32);
        return context.getImageData(0, 0, 32, 32).data.join();
    };
    const before = [video.currentTime, taken()];
    await new Promise((done) => video.requestVideoFrameCallback(() => setTimeout(done, 100)));
    return video.currentTime > before[0] && taken() !== before[1];
}"""
"""Whether the picture of somebody moves: its time and its pixels."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("calls")
    async with Server(folder / "data", {}) as running:
        yield running


async def group_of(server: Server, people: Sequence[Person], name: str) -> str:
    """Make a group of the first one's, and open it at all. Returns its id."""
    first, *others = people
    phone = await login(server.at.http, first.number, SUPER_CODE, "phone")
    async with Client(phone, **server.at.of("ws")) as client:
        made = await client.groups.create(name, [await one.uid for one in others])
    for person in people:
        await open_conversation(person, f"1-0-{made}")
    return made


def tile(person: Person, uid: str, state: str = "") -> Locator:
    """Return the tile of a user that has these classes."""
    return person.page.locator(f'.tile[data-uid="{uid}"]{state}')


async def choose(person: Person, entry: str) -> None:
    """Choose an entry of the menu beside the text."""
    await person.page.get_by_label("Send more").click()
    await person.page.get_by_role("menuitem", name=entry).click()


async def all_see(people: Sequence[Person]) -> None:
    """Wait until all see and hear all others."""
    for person in people:
        for other in people:
            if other is not person:
                uid = await other.uid
                await person.page.wait_for_function(MOVES, arg=uid)
                await expect(tile(person, uid, ".speaks")).to_have_count(1)


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
    await ann.page.wait_for_function(f"() => {own}.join() === 'false,false'")
    await ann.page.get_by_label("Turn the camera off").click()
    await ann.page.wait_for_function(f"() => {own}.toSorted().join() === 'false,true'")

    # The screen takes the place of the camera, on the other side too, and goes again.
    # A busy machine sends smaller pictures, and their sides are rounded.
    camera = await other_tab.page.evaluate(SHAPE)
    await ann.page.get_by_label("Show your screen").click()
    await expect(ann.page.locator(".call .own.shares")).to_have_count(1)
    source = "document.querySelector('.call .own').srcObject.getVideoTracks()[0].getSettings().displaySurface"
    assert await ann.page.evaluate(source) in ("monitor", "window", "browser")
    await other_tab.page.wait_for_function(f"() => Math.abs({SHAPE} - {camera}) > 0.1")
    await ann.page.get_by_label("Show your screen").click()
    await other_tab.page.wait_for_function(f"() => Math.abs({SHAPE} - {camera}) < 0.05")
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


async def test_a_call_in_a_group_from_its_beginning_to_its_end(server: Server, enter: Enter) -> None:
    phone = {"width": 360, "height": 640}
    ann = await enter(permissions=MEDIA)
    ben = await enter(permissions=MEDIA, locale="zh-CN", color_scheme="dark")
    cat = await enter(permissions=MEDIA, viewport=phone)
    people = [ann, ben, cat]
    await group_of(server, people, "climbers")

    # Two begin; the third one is there, and comes later.
    await ann.page.get_by_label("Video call").click()
    await expect(ann.page.get_by_text("Ringing: ")).to_be_visible()
    for person, said in ((ben, "发起了视频通话"), (cat, "calls the group with video")):
        await expect(person.page.get_by_text(said)).to_be_visible()
        assert await person.axe() == []
    await ben.page.get_by_label("接听").click()
    await all_see([ann, ben])
    await cat.page.get_by_role("button", name="Answer").click()
    await all_see(people)
    assert await cat.page.evaluate("document.documentElement.scrollWidth") <= phone["width"]
    for person in people:
        assert await person.axe() == []

    # Without a camera there is a portrait; without a microphone nobody is heard.
    await ann.page.get_by_label("Turn the camera off").click()
    await ann.page.get_by_label("Mute the microphone").click()
    ann_uid = await ann.uid
    for state in (".pictured", ".speaks"):
        await expect(tile(cat, ann_uid, state)).to_have_count(0)
    await ann.page.get_by_label("Turn the camera off").click()
    await ann.page.get_by_label("Mute the microphone").click()
    await all_see(people)

    # One leaves, and comes back by the message of the call.
    await cat.page.get_by_label("Hang up").click()
    await expect(tile(ann, await cat.uid)).to_have_count(0)
    await expect(cat.page.locator(".called")).to_have_text(re.compile(r"Video call, \d+:\d\d"))
    await cat.page.get_by_role("button", name="Join").click()
    await all_see(people)

    # One loses the connection, and is let in again.
    await ben.context.set_offline(True)
    await ben.context.set_offline(False)
    await expect(ben.page.locator(".main > .status")).to_have_count(0)
    await all_see(people)

    await ann.page.get_by_label("End the call for everybody").click()
    for person in people:
        await expect(person.page.locator(".call")).to_have_count(0)
    await expect(ben.page.locator(".called")).to_have_text(re.compile(r"^视频通话，时长 \d+:\d\d$"))
    await expect(cat.page.get_by_role("button", name="Join")).to_have_count(0)
    ben.faults.clear()  # it was without a network


async def test_calls_that_come_to_nothing_say_so(server: Server, enter: Enter) -> None:
    ann, ben = await enter(permissions=MEDIA), await enter(permissions=MEDIA, locale="zh-CN")
    await group_of(server, [ann, ben], "sailors")

    async def called(person: Person, said: str) -> None:
        await expect(person.page.locator(".called").last).to_contain_text(said)
        await expect(person.page.locator(".call")).to_have_count(0)

    await ann.page.get_by_label("Voice call").click()
    await ben.page.get_by_label("拒绝").click()
    await called(ben, "语音通话，你已拒绝")
    await ann.page.get_by_label("Hang up").click()
    await called(ann, "Voice call, cancelled")
    await ben.page.get_by_role("button", name="加入").click()  # he was not told that it is over
    await expect(ben.page.get_by_text("通话已结束，或者你没有受到邀请")).to_be_visible()
    await called(ben, "语音通话，已结束")

    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    await ann.page.get_by_label("Voice call").click()
    await ben.page.get_by_label("拒绝").click()
    await called(ann, "Voice call, refused")
    await called(ben, "语音通话，你已拒绝")
    await ann.page.get_by_label("Video call").click()
    await expect(ben.page.get_by_label("接听")).to_be_visible()
    await ann.page.get_by_label("Hang up").click()
    await called(ann, "Video call, cancelled")
    await called(ben, "视频通话，未接听")
    await expect(ben.page.locator(".conversations .row", has_text="视频通话，未接听")).to_have_count(1)
    await ann.page.get_by_label("Voice call").click()
    await ben.page.get_by_label("接听").click()
    await expect(ann.page.locator(".call .dim")).to_have_text(re.compile(r"^0:\d\d$"))
    await expect(ann.page.locator(".call .dim")).not_to_have_text("0:00")
    await ben.page.get_by_label("挂断").click()
    await called(ann, "Voice call, 0:")
    await called(ben, "语音通话，时长 0:")


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
    spoken = re.compile(r"[1-9]\d* s")  # a busy machine may take longer to end it
    await expect(ann.page.locator(".recording")).to_contain_text(spoken)
    await ann.page.get_by_label("Send the voice message").click()
    await expect(ben.page.locator(".voice")).to_contain_text(spoken)
    await ben.page.wait_for_function(
        "async () => { const it = document.querySelector('audio'); await it.play(); return it.currentTime > 0; }"
    )


RECORD = """async () => {
    const canvas = document.createElement("canvas");
    canvas.width = 320;
    canvas.height = 180;
    const context = canvas.getContext("2d");
    let pieces, black;
    do { // a busy machine may be too slow for a short beginning
        const recorder = new MediaRecorder(canvas.captureStream(10), {mimeType: "video/webm;codecs=vp8"});
        pieces = [];
        recorder.ondataavailable = ({data}) => pieces.push(data);
        const stopped = new Promise((done) => (recorder.onstop = done));
        recorder.start();
        const began = performance.now();
        for (let frame = 0; frame < 25; frame++) {
            if (frame === 1) black = performance.now() - began;
            context.fillStyle = frame < 1 ? "black" : "rgb(0 120 255)";
            context.fillRect(0, 0, 320, 180);
            context.fillStyle = "white";
            context.fillRect(frame * 10, 80, 20, 20);
            await new Promise((done) => setTimeout(done, 100));
        }
        recorder.stop();
        await stopped;
    } while (black > 500);
    const bytes = new Uint8Array(await new Blob(pieces).arrayBuffer());
    return btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));
}"""
"""Record a real video: its beginning is black, the rest blue."""
PLAYS = """async () => {
    const video = document.querySelector(".bubble video");
    video.muted = true;
    await video.play();
    await new Promise((done) => video.requestVideoFrameCallback(done));
    return video.currentTime >= 0 && video.videoWidth === 320;
}"""
POSTER = """async () => {
    const image = new Image();
    image.src = document.querySelector(".bubble video").poster;
    await image.decode();
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [canvas.width, canvas.height, ...context.getImageData(10, 10, 1, 1).data];
}"""


async def test_a_video_has_a_poster_and_plays(server: Server, enter: Enter, tmp_path: Path) -> None:
    ann, ben = await enter(), await enter()
    await befriend(server, ann, ben)
    await chat_of(ann, ben)
    await chat_of(ben, ann)
    file = tmp_path / "ride.webm"
    file.write_bytes(b64decode(await ann.page.evaluate(RECORD)))
    await ann.page.locator(".composer input[type=file]").set_input_files(file)
    await ann.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
    await expect(ben.page.locator(".bubble video")).to_have_count(1)
    await ben.page.wait_for_function(PLAYS)
    width, height, red, green, blue, _ = await ben.page.evaluate(POSTER)
    assert (width, height) == (240, 135)
    assert red < 60 < green < 180 < blue, "the poster shows the black beginning"


async def test_a_portrait_is_cut_as_one_wants_it(server: Server, enter: Enter, tmp_path: Path) -> None:
    ann = await enter(locale="zh-CN", viewport={"width": 360, "height": 640})
    picture = Image.new("RGB", (600, 300), "red")
    picture.paste("blue", (450, 0, 600, 300))
    picture.save(tmp_path / "flag.png")
    await ann.page.goto(f"{ann.url}/#/me")
    await ann.page.locator(".portrait input[type=file]").set_input_files(tmp_path / "flag.png")
    await expect(ann.page.locator("dialog canvas")).to_be_visible()
    await ann.page.locator("[name=zoom]").fill("3")
    await ann.page.locator("dialog canvas").focus()
    for _ in range(80):
        await ann.page.keyboard.press("ArrowRight")
    assert await ann.axe() == []
    await ann.page.locator("dialog .primary").click()
    kept = ann.page.locator(".portrait img")
    await expect(kept).to_have_count(1)
    taken = await ann.page.request.get(str(await kept.get_attribute("src")))
    with Image.open(BytesIO(await taken.body())) as cut:
        assert cut.size == (100, 100)
        red, _, blue = cut.convert("RGB").getpixel((50, 50))  # type: ignore[misc]
    assert red < 60 < 180 < blue, "the part that was chosen is blue"


async def test_a_place_and_a_card_are_sent(server: Server, enter: Enter) -> None:
    here = {"latitude": 48.85837, "longitude": 2.294481}
    ann = await enter(permissions=["geolocation"], geolocation=here, viewport={"width": 360, "height": 640})
    ben, cat = await enter(locale="zh-CN", color_scheme="dark"), await enter()
    for other in (ben, cat):
        await befriend(server, ann, other)
    await chat_of(ben, ann)
    await chat_of(ann, ben)
    await choose(ann, "Send a location")
    await ann.page.get_by_role("button", name="Where I am now").click()
    await expect(ann.page.locator("[name=latitude]")).to_have_value("48.85837")
    await ann.page.locator("[name=title]").fill("Tour Eiffel")
    assert await ann.axe() == []
    await ann.page.locator("dialog .primary").click()
    place = ben.page.locator(".bubble .place")
    await expect(place).to_contain_text("48.85837, 2.29448")
    await expect(place).to_contain_text("Tour Eiffel")
    await expect(place.locator("a")).to_have_attribute("href", re.compile(r"mlat=48.85837&mlon=2.294481"))
    await choose(ann, "Send a location")
    await ann.page.locator("[name=latitude]").fill("-33.9")
    await ann.page.locator("[name=longitude]").fill("181")
    await expect(ann.page.locator("dialog .primary")).to_be_disabled()
    await ann.page.locator("[name=longitude]").fill("18.4")
    await ann.page.locator("dialog .primary").click()
    await expect(place.last).to_contain_text("-33.90000, 18.40000")

    await choose(ann, "Send a contact's card")
    await ann.page.locator("dialog .person", has_text=cat.number[-4:]).click()
    await ann.page.locator("dialog .primary").click()
    await expect(ben.page.locator(".conversations .row")).to_contain_text(f"[名片] {cat.number[-4:]}")
    assert await ben.axe() == []
    await ben.page.locator(".bubble .card").click()
    await expect(ben.page.locator(".profile h1")).to_have_text(cat.number[-4:])
