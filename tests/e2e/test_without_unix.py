"""The all-in-one and its commands where all is missing that Windows does not have (tools/testing/without_unix).

These tests run on Unix. They show that the program needs none of it, not that it runs on Windows.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tools.testing.without_unix
from fsharechat.client import Credentials
from tools.testing.devices import Handset, log_in
from tools.testing.original import Original
from tools.testing.original_forms import H2Form
from tools.testing.server import BOUND, SUPER_CODE, Server, run_command, until

WITHOUT_UNIX = {
    "PYTHONPATH": tools.testing.without_unix.__path__[0],
    # What is read and written names its encoding: that of Windows is another one in each country.
    "PYTHONWARNDEFAULTENCODING": "1",
    "PYTHONWARNINGS": "error::EncodingWarning",
    "USERNAME": "ann",  # Windows sets it for every process
}
BREAK = signal.SIGUSR1
"""What stands for SIGBREAK there."""
FEWER_CONNECTIONS = "fewer connections than a setting asks for: this system cannot wait for more"
ANN, BEN = "13800000001", "13800000002"


def run(data: Path, *arguments: str, command: str = "") -> str:
    """Run a command, which must succeed, and return what it printed."""
    code, output, errors = run_command(data, *arguments, command=command, environment=WITHOUT_UNIX)
    assert code == 0, output + errors
    assert "Traceback" not in errors
    return output


OPENED = "import os; file = open('x', 'wb')"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        *(
            (f"import {name}", f"No module named '{name}'")
            for name in ("fcntl", "uvloop", "pwd", "grp", "resource", "termios")
        ),
        *(
            (f"import os; os.{name}", "AttributeError")
            for name in ("fork", "geteuid", "nice", "fchmod", "O_CLOEXEC", "O_DIRECTORY")
        ),
        ("import signal; signal.SIGHUP", "AttributeError"),
        ("import socket; socket.AF_UNIX", "AttributeError"),
        ("import os; os.open('.', os.O_RDONLY)", "PermissionError"),
        (f"{OPENED}; os.replace('x', 'y')", "PermissionError"),
        (f"{OPENED}; os.unlink('x')", "PermissionError"),
        (f"{OPENED}; os.utime(file.fileno())", "TypeError"),
        (f"{OPENED}; os.fsync(os.open('x', os.O_RDONLY))", "Bad file descriptor"),
        ("open('a:b', 'wb')", "Invalid argument"),
        ("open('x', 'w')", "EncodingWarning"),
        ("import asyncio; asyncio.new_event_loop().add_signal_handler(2, print)", "NotImplementedError"),
        ("import asyncio; asyncio.new_event_loop().add_reader(0, print)", "NotImplementedError"),
    ],
)
def test_what_is_missing_is_missing(tmp_path: Path, code: str, error: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **WITHOUT_UNIX},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert error in done.stderr


async def test_people_chat_and_a_second_start_has_all_of_it(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", environment=WITHOUT_UNIX)
    async with server:
        ann_login, ben_login = await log_in(server.at, ANN, "phone"), await log_in(server.at, BEN, "phone")
        async with Handset(ann_login, server.at, "tcp") as ann, Handset(ben_login, server.at, "ws") as ben:
            await ann.send(ben.user_id, "hi")
            await until(lambda: ben.texts_of(ann.user_id) == ["hi"])
            await ben.send(ann.user_id, "你好")
            await until(lambda: ann.texts_of(ben.user_id) == ["你好"])
            position = ben.position
        async with Handset(ann_login, server.at, "tcp") as ann:
            await ann.send(ben.user_id, "later")

        code, _, errors = await asyncio.to_thread(
            run_command, server.data, settings={"API__PORT": "0"}, environment=WITHOUT_UNIX
        )
        assert code == 1
        assert f"process {server.pid} runs on this folder already" in errors

        await server.stop(signal.SIGINT)
        assert server.logged("stopped")
        assert [line["connections"] for line in server.logged(FEWER_CONNECTIONS)] == [192, 192]
        assert "open files" not in server.errors  # there is no such limit to raise
        await server.start()
        async with Handset(ben_login, server.at, "ws", position=position) as ben:
            await until(lambda: ben.texts_of(ann_login.user_id) == ["later"])
        await server.stop(BREAK)


async def chat(server: Server, folder: Path, number: str, *lines: str) -> str:
    """Run `fsharechat chat`, type lines, and return what it showed."""
    flags = ["--number", number, "--code", SUPER_CODE, "--http", server.at.http, "--tcp", server.at.tcp]
    talking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "fsharechat", "chat", *flags),
        env={**os.environ, **WITHOUT_UNIX, "XDG_STATE_HOME": str(folder / "state")},
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(BOUND):
        output, errors = await talking.communicate("\n".join([*lines, ""]).encode())
    assert talking.returncode == 0, output + errors
    assert b"Traceback" not in errors
    return output.decode()


async def with_a_picture(server: Server, folder: Path, sender: Credentials, content: bytes) -> None:
    (folder / "picture.bin").write_bytes(content)
    async with Handset(sender, server.at, "tcp") as ann:
        await ann.media.send_file(ann.user_id, folder / "picture.bin")


@pytest.mark.slow
async def test_its_commands_run_beside_it_and_after_it(tmp_path: Path) -> None:
    data, vault = tmp_path / "data", str(tmp_path / "backups")
    async with Server(data, environment=WITHOUT_UNIX) as server:
        ann = await log_in(server.at, ANN, "phone")
        await with_a_picture(server, tmp_path, ann, os.urandom(100_000))
        assert "you are" in (await chat(server, tmp_path, BEN, "/quit")).lower()
        url = ("users", "list", "--url", server.at.http, "--json")
        users = json.loads(await asyncio.to_thread(run, data, *url, command="admin"))
        assert {ANN, BEN} <= {user["number"] for user in users["users"]}
        assert f"process {server.pid} runs on it" in await asyncio.to_thread(run, data, "check")
        done = await asyncio.to_thread(run, data, vault, command="backup")
        assert "1 files of media, 100,000 bytes" in done
    again = await asyncio.to_thread(run, data, vault, "--keep", "1", command="backup")
    assert "removed 1 older back-ups" in again or "removed 0 older back-ups" in again
    new = tmp_path / "new"
    assert "1 files of media" in await asyncio.to_thread(run, new, vault, command="restore")
    async with Server(new, environment=WITHOUT_UNIX) as restored, Handset(ann, restored.at, "ws") as handset:
        await handset.send(handset.user_id, "here again")


def test_rows_of_the_original_are_imported(tmp_path: Path) -> None:
    form = H2Form()
    Original(form).user(ANN, "小安")
    form.write(tmp_path / "original.sql")
    run(tmp_path / "data", str(tmp_path / "original.sql"), command="import-data")
    assert "is up to date" in run(tmp_path / "data", "check")
