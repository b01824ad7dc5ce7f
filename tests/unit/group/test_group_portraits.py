"""Portraits of groups that were given none (contract.md section 8): what they show, and where they come from."""

import asyncio
import io
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image
from structlog.testing import capture_logs
from yarl import URL

import tools.testing.without_unix
from fsharechat.blobs import BlobsError
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.protocol.signals import Code, GroupInfoType, MediaType
from fsharechat.store import users
from roles.group import drawing as drawing_module
from roles.group import portraits
from roles.group.drawing import Drawing, DrawingError, Face
from roles.group.mosaic import MAX_PIXELS, NICENESS, SIZE, compose
from roles.group.portraits import Portraits
from tests.unit.group.group_kit import Office
from tests.unit.group.groups_kit import add, create, dismiss, info, kick, modify
from tools.testing.server import BOUND, until

RED, GREEN, BLUE = (220, 30, 30), (30, 200, 30), (30, 30, 220)
PORTRAIT = "/media/minio-bucket-portrait-name"


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, kind)
    return out.getvalue()


def face(n: int, data: bytes | None = None, name: str = "") -> Face:
    return Face(f"user{n}", name, data)


def colours(data: bytes) -> dict[tuple[int, int, int], int]:
    """Return how many pixels are about red, green and blue."""
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("JPEG", (SIZE, SIZE))
    raw = image.convert("RGB").tobytes()
    pixels = Counter(zip(raw[::3], raw[1::3], raw[2::3], strict=True))
    found = dict.fromkeys((RED, GREEN, BLUE), 0)
    for pixel, count in pixels.items():
        for colour in found:
            if all(abs(one - other) < 12 for one, other in zip(pixel, colour, strict=True)):
                found[colour] += count
    return found


# The picture


@pytest.mark.parametrize(
    ("count", "side"), [(1, 228), (2, 111), (3, 111), (4, 111), (5, 72), (8, 72), (9, 72), (12, 72)]
)
async def test_each_of_nine_has_a_tile_of_the_same_size(count: int, side: int) -> None:
    found = colours(await Drawing().compose([face(n, picture(RED)) for n in range(count)]))
    wanted = min(count, 9) * side * side
    assert 0.93 * wanted < found[RED] <= wanted * 1.02


def test_a_group_of_nobody_has_a_picture_too() -> None:
    assert colours(compose([]))[RED] == 0


def test_the_same_faces_make_the_same_picture() -> None:
    faces = [face(1, picture(RED)), face(2, name="bob"), face(3, name="飞享"), face(4)]
    assert compose(faces) == compose(list(faces))


@pytest.mark.parametrize("name", ["bob", "9", "飞享", "", "  ", "\u202e", "é"])
def test_who_has_no_portrait_has_a_tile_of_their_own_colour(name: str) -> None:
    assert compose([face(1, name=name)]) != compose([face(2, name=name)])


def test_letters_differ_and_others_are_a_person() -> None:
    assert compose([face(1, name="bob")]) == compose([face(1, name="Ben")])
    assert compose([face(1, name="bob")]) != compose([face(1, name="ann")])
    assert compose([face(1, name="飞享")]) == compose([face(1)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_usual_kinds_of_pictures_are_read(kind: str) -> None:
    found = colours(compose([face(1, picture(BLUE, (300, 100), kind))]))
    assert found[BLUE] > 0.9 * 228 * 228


def test_a_see_through_picture_is_on_white() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (32, 32), (*RED, 0)).save(out, "PNG")
    image = Image.open(io.BytesIO(compose([face(1, out.getvalue())]))).convert("RGB")
    assert image.getpixel((SIZE // 2, SIZE // 2)) == (255, 255, 255)


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", picture(RED)[:60], picture(RED, kind="BMP"), b"<svg/>"],
    ids=["empty", "text", "cut", "BMP", "SVG"],
)
def test_what_cannot_be_shown_is_as_no_portrait(data: bytes) -> None:
    assert compose([face(1, data, "bob")]) == compose([face(1, None, "bob")])


def test_what_has_too_many_pixels_is_as_no_portrait() -> None:
    bomb = picture(RED, (MAX_PIXELS // 4000 + 1, 4000))
    assert compose([face(1, bomb, "bob")]) == compose([face(1, None, "bob")])


def test_a_photograph_may_be_larger_than_a_picture_of_another_kind() -> None:
    """Unpacking a JPEG for a small tile is cheap; nine large PNGs of a kilobyte each kept a processor busy."""
    photograph = picture(RED, (MAX_PIXELS // 2000 + 1, 4000), "JPEG")
    assert colours(compose([face(1, photograph)]))[RED] > 200 * 200


# The process that composes it


@cache
def poison() -> bytes:
    """Return a progressive JPEG of 16 million pixels with 66,637 empty scans: each goes through all of them."""
    out = io.BytesIO()
    Image.new("L", (4000, 4000), 120).save(out, "JPEG", progressive=True)
    scan = b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00"
    return out.getvalue().removesuffix(b"\xff\xd9") + scan * 66_637 + b"\xff\xd9"


async def test_a_picture_that_takes_too_long_is_left_out_and_not_tried_again() -> None:
    drawing = Drawing()
    faces = [face(1, picture(RED)), face(2, poison(), "bob"), face(3, picture(BLUE))]
    without = [one if one.picture != poison() else face(2, None, "bob") for one in faces]
    with capture_logs() as logs:
        assert await drawing.compose(faces) == compose(without)
    assert [(line["uid"], line["signal"]) for line in logs] == [("user2", signal.SIGXCPU)]
    with capture_logs() as logs:
        assert await drawing.compose(faces) == compose(without)
    assert logs == []


async def test_a_system_without_limits_for_programs_composes_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = tools.testing.without_unix.__path__[0]
    program = tmp_path / "mosaic.py"
    program.write_text(
        f"import runpy, sys\nsys.path.insert(0, {without!r})\nimport sitecustomize\n"
        f"runpy.run_path({str(drawing_module._PROGRAM)!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(drawing_module, "_PROGRAM", program)
    monkeypatch.setattr(drawing_module, "LIMITS_PROGRAMS", False)
    monkeypatch.setattr(drawing_module, "SECONDS_WITHOUT_LIMITS", BOUND)
    faces = [face(1, picture(RED)), face(2, name="bob")]
    assert await Drawing().compose(faces) == compose(faces)


def test_a_process_without_limits_is_killed_after_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "hangs.py"
    program.write_text("import threading\nthreading.Event().wait()\n")
    monkeypatch.setattr(drawing_module, "_PROGRAM", program)
    monkeypatch.setattr(drawing_module, "LIMITS_PROGRAMS", False)
    monkeypatch.setattr(drawing_module, "SECONDS_WITHOUT_LIMITS", 0.1)
    assert drawing_module._Run().work(b"")[0] == -signal.SIGTERM


@pytest.mark.slow
async def test_many_pictures_that_take_too_long_are_not_all_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing_module, "MAX_LEFT_OUT", 1)
    faces = [face(1, picture(RED)), face(2, poison()), face(3, poison() + b"other"), face(4, picture(BLUE))]
    with capture_logs() as logs:
        assert await Drawing().compose(faces) == compose([faces[0], face(2), face(3), face(4)])
    assert [line["uid"] for line in logs] == ["user2"]


async def test_a_program_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("raise SystemExit('out of paint')")
    monkeypatch.setattr(drawing_module, "_PROGRAM", program)
    with pytest.raises(DrawingError, match="exit code 1: out of paint"):
        await Drawing().compose([face(1)])
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(DrawingError, match="no process to compose it"):
        await Drawing().compose([face(1)])


def painters(parent: int) -> list[int]:
    """Return the processes of a parent that compose portraits, from when they have confined themselves."""
    found = []
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            ours = int(stat[1]) == parent and b"mosaic.py" in (folder / "cmdline").read_bytes()
            if ours and int(stat[16]) == NICENESS:
                found.append(int(folder.name))
    return found


async def stopped_painter(parent: int) -> int:
    """Return the process that composes a portrait for `parent`, stopped: it would not end by itself."""
    await until(lambda: bool(painters(parent)), "no process composes a portrait")
    [painter] = painters(parent)
    os.kill(painter, signal.SIGSTOP)
    return painter


async def test_who_gives_up_waiting_ends_the_process() -> None:
    task = asyncio.get_running_loop().create_task(Drawing().compose([face(1, poison())]))
    painter = await stopped_painter(os.getpid())
    task.cancel()
    await asyncio.wait([task])
    assert gone(painter)


OTHER = """
import asyncio
from roles.group.drawing import Drawing, Face
asyncio.run(Drawing().compose([Face("", "", open({file!r}, "rb").read())]))
"""


async def test_the_process_ends_with_the_one_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "picture"
    file.write_bytes(poison())
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER.format(file=str(file)))
    painter = await stopped_painter(parent.pid)
    parent.kill()
    await parent.wait()
    try:
        await until(lambda: gone(painter), "it lives on")
    finally:
        with suppress(ProcessLookupError):
            os.kill(painter, signal.SIGKILL)


def gone(process: int) -> bool:
    try:
        return "Z" in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return True


# Its life


class MediaFolder:
    """Serves the media folder as the api role does. `asked` are paths, `answers` exceptions."""

    def __init__(self, office: Office) -> None:
        blobs = office.node.blobs
        assert isinstance(blobs, DirectoryBlobs)
        self.blobs = blobs
        self.asked: list[str] = []
        self.answers: dict[str, web.StreamResponse] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path in self.answers:
            return self.answers[request.path]
        bucket, _, name = request.path.removeprefix("/media/").partition("/")
        file = self.blobs.file(bucket, name)
        return web.FileResponse(file) if file.exists() else web.Response(status=404)

    async def put(self, key: str, data: bytes) -> str:
        """Keep a picture; return its address."""
        return await self.blobs.put(MediaType.PORTRAIT, key, data, "image/png")

    async def upload(self, key: str, data: bytes, uid: str) -> str:
        """Keep a picture as one that a user uploads; return its address."""
        upload = await self.blobs.upload_url(MediaType.PORTRAIT, key, uid)
        bucket, _, name = URL(upload.url).path.removeprefix("/media/").partition("/")

        async def whole() -> AsyncIterator[bytes]:
            yield data

        await self.blobs.receive(bucket, name, whole())
        return f"{upload.domain}/{key}"


@pytest.fixture
async def media(office: Office) -> AsyncIterator[MediaFolder]:
    await office.node.blobs.open()
    media = MediaFolder(office)
    app = web.Application()
    app.router.add_get("/{path:.*}", media.answer)
    async with TestServer(app) as server:
        media.blobs.address = str(server.make_url("")).rstrip("/")
        yield media


async def portrait(office: Office, uid: str, group: str, before: str = "") -> str:
    """Return the portrait of a group once it is another than it was."""
    async with asyncio.timeout(60):
        while (found := (await info(office, uid, group)).portrait) == before:
            await asyncio.sleep(0.005)
    return found


async def shown(media: MediaFolder, address: str) -> bytes:
    prefix = f"{media.blobs.address}{PORTRAIT}/"
    assert address.startswith(prefix)
    file = media.blobs.file(PORTRAIT.rpartition("/")[2], address.removeprefix(prefix))
    return await asyncio.to_thread(file.read_bytes)


async def set_portrait(office: Office, uid: str, address: str) -> None:
    await office.node.store.write(users.modify, uid, {"portrait": address}, 3)


async def test_a_group_without_a_portrait_is_made_with_one_of_its_members(
    office: Office, media: MediaFolder
) -> None:
    """It is there when the members first ask: many clients do not ask again."""
    ann, bob, cid = [await office.user() for _ in range(3)]
    for uid, colour in ((ann, RED), (bob, GREEN), (cid, BLUE)):
        await set_portrait(office, uid, await media.upload("头像 1.png", picture(colour), uid))
    group = await create(office, ann, "nobody", bob, cid, portrait="")
    made = await info(office, ann, group)
    assert made.portrait
    found = colours(await shown(media, made.portrait))
    assert all(0.9 * 111**2 < count < 1.02 * 111**2 for count in found.values()), found
    await portrait(office, bob, await create(office, bob, portrait=""))  # one after the other
    assert await info(office, ann, group) == made


async def test_a_group_is_not_kept_waiting_for_a_portrait(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not ready in time comes a moment later."""
    ann = await office.user()
    put, go = media.blobs.put, asyncio.Event()

    async def slow(*args: object) -> str:
        await go.wait()
        return await put(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(portraits, "FIRST_SECONDS", 0.05)
    monkeypatch.setattr(media.blobs, "put", slow)
    group = await create(office, ann, portrait="")
    made = await info(office, ann, group)
    assert made.portrait == ""
    go.set()
    await portrait(office, ann, group)
    assert (await info(office, ann, group)).update_dt > made.update_dt


@pytest.mark.parametrize("error", [BlobsError("away"), OSError("a fault")], ids=["foreseen", "unforeseen"])
async def test_a_group_is_made_without_a_portrait_where_none_can_be_kept(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(*_: object) -> str:
        raise error

    monkeypatch.setattr(media.blobs, "put", fail)
    ann = await office.user()
    assert (await info(office, ann, await create(office, ann, portrait=""))).portrait == ""


async def test_it_follows_the_members_until_a_client_sets_one(office: Office, media: MediaFolder) -> None:
    ann, bob, cid = [await office.user(name) for name in ("ann", "bob", "cid")]
    await set_portrait(office, bob, await media.put("bob.png", picture(GREEN)))
    group = await create(office, ann, portrait="")
    first = await portrait(office, ann, group)
    assert colours(await shown(media, first))[GREEN] == 0
    assert await add(office, ann, group, bob) == Code.SUCCESS
    second = await portrait(office, ann, group, first)
    assert colours(await shown(media, second))[GREEN] > 0
    assert await modify(office, ann, group, GroupInfoType.PORTRAIT, "http://own") == Code.SUCCESS
    assert await kick(office, ann, group, bob) == Code.SUCCESS
    other = await create(office, cid, portrait="")
    await portrait(office, cid, other)  # one after the other: this group has had its turn
    assert (await info(office, ann, group)).portrait == "http://own"
    assert await modify(office, ann, group, GroupInfoType.PORTRAIT, "") == Code.SUCCESS
    assert await portrait(office, ann, group) == first


async def test_what_the_client_gave_is_kept(office: Office, media: MediaFolder) -> None:
    ann = await office.user()
    given = await create(office, ann, portrait="http://own")
    await portrait(office, ann, await create(office, ann, portrait=""))
    assert (await info(office, ann, given)).portrait == "http://own"


async def test_an_upload_with_the_name_of_a_composed_one_is_the_clients(
    office: Office, media: MediaFolder
) -> None:
    ann = await office.user()
    group = await create(office, ann, portrait="")
    composed = await portrait(office, ann, group)
    own = await media.upload(composed.rpartition("/")[2], picture(RED), ann)
    assert await modify(office, ann, group, GroupInfoType.PORTRAIT, own) == Code.SUCCESS
    assert await add(office, ann, group, await office.user()) == Code.SUCCESS
    await portrait(office, ann, await create(office, ann, portrait=""))
    assert (await info(office, ann, group)).portrait == own
    assert colours(await shown(media, composed))[RED] == 0


async def test_a_client_that_sets_one_meanwhile_wins(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await office.user()
    put = media.blobs.put
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow(*args: object) -> str:
        asked.set()
        await go.wait()
        return await put(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(media.blobs, "put", slow)
    group = await create(office, ann, portrait="")
    await asked.wait()
    assert await modify(office, ann, group, GroupInfoType.PORTRAIT, "http://own") == Code.SUCCESS
    go.set()
    await portrait(office, ann, await create(office, ann, portrait=""))
    assert (await info(office, ann, group)).portrait == "http://own"


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/x.png",
        "{root}/login",
        "{root}{bucket}/../../admin",
        "{root}{bucket}/%2e%2e/%2e%2e/admin",
        "{root}.example.org{bucket}/x.png",
        "http://user:password@{host}{bucket}/x.png",
        "https://{host}{bucket}/x.png",
        "file:///etc/passwd",
        "//{host}{bucket}/x.png",
        "http://[::1",
        "not an address",
        "",
    ],
)
async def test_only_our_own_media_are_fetched(office: Office, media: MediaFolder, address: str) -> None:
    ann, bob = [await office.user() for _ in range(2)]
    root = media.blobs.address
    bad = address.format(root=root, bucket=PORTRAIT, host=root.partition("://")[2])
    await set_portrait(office, ann, bad)
    await set_portrait(office, bob, await media.put("bob.png", picture(GREEN)))
    group = await create(office, ann, bob, portrait="")
    assert colours(await shown(media, await portrait(office, ann, group)))[GREEN] > 0
    assert media.asked == [f"{PORTRAIT}/bob.png"]


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=302, headers={"Location": f"{PORTRAIT}/bob.png"}),
        web.Response(status=500, body=picture(RED)),
        web.Response(body=picture(RED), headers={"Content-Encoding": "br"}),
        web.Response(body=picture(RED) + bytes(portraits.MAX_BYTES)),
    ],
    ids=["redirect", "error", "encoding", "size"],
)
async def test_answers_that_are_no_portrait(office: Office, media: MediaFolder, answer: web.Response) -> None:
    ann = await office.user()
    media.answers[f"{PORTRAIT}/ann.png"] = answer
    await media.put("bob.png", picture(GREEN))
    await set_portrait(office, ann, f"{media.blobs.address}{PORTRAIT}/ann.png")
    group = await create(office, ann, portrait="")
    found = colours(await shown(media, await portrait(office, ann, group)))
    assert found == dict.fromkeys(found, 0)
    assert media.asked == [f"{PORTRAIT}/ann.png"]


async def test_a_server_that_does_not_answer_is_not_waited_for(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portraits, "FETCH_SECONDS", 0.05)
    ann = await office.user()

    async def never(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(media, "answer", never)
    app = web.Application()
    app.router.add_get("/{path:.*}", never)
    async with TestServer(app, shutdown_timeout=0.0) as server:
        media.blobs.address = str(server.make_url("")).rstrip("/")
        await set_portrait(office, ann, f"{media.blobs.address}{PORTRAIT}/ann.png")
        assert await portrait(office, ann, await create(office, ann, portrait=""))


async def test_what_waits_is_bounded(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portraits, "MAX_WAITING", 3)
    work = Portraits(office.node.store, media.blobs, lambda _: None, lambda: 0)
    with capture_logs() as logs:
        for group in "aabbccdd":
            work.want(group)
    assert [line["group"] for line in logs] == ["d", "d"]
    await work.stop()


async def test_a_group_that_is_gone_is_nobodys_work(office: Office, media: MediaFolder) -> None:
    ann = await office.user()
    gone = await create(office, ann, portrait="")
    assert await dismiss(office, ann, gone) == Code.SUCCESS
    assert await portrait(office, ann, await create(office, ann, portrait=""))


async def test_a_broken_media_store_costs_the_portrait_alone(
    office: Office, media: MediaFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await office.user()
    tries = iter(["before the group is there", "behind it"])
    with monkeypatch.context() as broken:

        async def fail(*_: object) -> str:
            if next(tries) == "behind it":
                broken.undo()
            raise RuntimeError("anything")

        broken.setattr(media.blobs, "put", fail)
        first = await create(office, ann, portrait="")
        second = await create(office, ann, portrait="http://own")
        assert await modify(office, ann, second, GroupInfoType.PORTRAIT, "") == Code.SUCCESS
        await portrait(office, ann, second)  # one after the other: the first has had its turns
    assert (await info(office, ann, first)).portrait == ""
    assert await add(office, ann, first, await office.user()) == Code.SUCCESS
    await portrait(office, ann, first)
