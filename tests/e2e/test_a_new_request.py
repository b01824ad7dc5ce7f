"""A new request is one row of the table and one handler: a toy, in a copy of the program, over both transports."""

import shutil
import subprocess
import sys
from pathlib import Path

from tools.testing.server import BOUND, SUPER_CODE, Server

ROOT = Path(__file__).resolve().parents[2]

ROW = (
    "fsharechat/protocol/signals.py",
    "    # fmt: on\n",
    """\
    TOY = 99, RequestRow(
        "say what comes next",
        Object(pb.AddFriendRequest, "name=target_uid", "reason"),
        ServerObject(pb.Version, id64("next=version")),
        numbered=True)
    # fmt: on
""",
)
HANDLER = (
    "roles/group/settings.py",
    "\n\nHANDLERS = Handlers(\n    requests={\n",
    """

async def toy(call: Call, request: pb.AddFriendRequest) -> pb.Version:
    if not request.reason:
        raise Refusal(Code.NO_RIGHT)
    assert call.message_id
    return pb.Version(version=int(request.reason) + 1)


HANDLERS = Handlers(
    requests={
        SubSignal.TOY: toy,
""",
)
CLIENT = """
import asyncio, sys
from fsharechat.client import Client, RequestError, login
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal

async def main(http, code, tcp, ws):
    me = await login(http, "13800000001", code, "phone")
    for address in ({"tcp": [tcp]}, {"ws": [ws]}):
        async with Client(me, **address) as client:
            asked = pb.AddFriendRequest(target_uid="n", reason="9007199254740993")
            print((await client.request(SubSignal.TOY, asked)).version)
            asked.reason = ""
            try:
                await client.request(SubSignal.TOY, asked)
            except RequestError as error:
                print(error.code)

asyncio.run(main(*sys.argv[1:]))
"""
PAGE = (
    "| TOY 99 | say what comes next | AddFriendRequest → Version "
    '| `{"name", "reason"}` → `{"next": "…"}` | numbered |'
)


async def test_a_new_request_is_one_row_and_one_handler(tmp_path: Path) -> None:
    tree = tmp_path / "program"
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for package in ("fsharechat", "roles"):
        shutil.copytree(ROOT / package, tree / package, ignore=left_out)
    shutil.copy(ROOT / "settings.toml", tree)
    for name, place, instead in (ROW, HANDLER):
        text = (tree / name).read_text()
        assert text.count(place) == 1
        (tree / name).write_text(text.replace(place, instead))
    async with Server(tmp_path / "data", environment={"PYTHONPATH": str(tree)}) as server:
        said = _python(tree, "-c", CLIENT, server.at.http, SUPER_CODE, server.at.tcp, server.at.ws)
    # A refusal has a code over TCP alone.
    assert said.splitlines() == ["9007199254740994", "248", "9007199254740994", "None"]
    assert PAGE in _python(tree, "-m", "fsharechat.protocol.page").splitlines()
    # With this test, that makes three files.
    assert {name for name in _files(tree) if _differs(tree, name)} == {ROW[0], HANDLER[0]}


def _files(tree: Path) -> list[str]:
    return [str(path.relative_to(tree)) for path in tree.rglob("*.py")]


def _differs(tree: Path, name: str) -> bool:
    return (tree / name).read_bytes() != (ROOT / name).read_bytes()


def _python(tree: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    ).stdout
