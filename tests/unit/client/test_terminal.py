"""The terminal client's start, its state between runs, and its input when there is no terminal."""

import asyncio
import json
import os
import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from fsharechat.client import terminal
from fsharechat.client.console import Pipe
from fsharechat.client.models import Position
from fsharechat.client.state import InUse, State, default_folder
from tests.unit.client.fake_peer import CREDENTIALS
from tools.services.certificates import Authority
from tools.wire.port import StreamPort


def test_state_comes_back(tmp_path: Path) -> None:
    with State(tmp_path / "new", "138", "http://h:1") as state:
        assert state.credentials is None
        state.save(Position(3))  # nothing to keep yet
        assert not list((tmp_path / "new").glob("*.json"))
        state.credentials = CREDENTIALS
        state.save(Position(7, 700), ["group-1", "group-2"])
    with State(tmp_path / "new", "138", "http://h:1") as state:
        assert state.credentials == CREDENTIALS
        assert state.position == Position(7, 700)
        assert state.groups == ["group-1", "group-2"]
    (path,) = (tmp_path / "new").glob("*.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_state_is_apart_for_each_number_and_server(tmp_path: Path) -> None:
    with State(tmp_path, "138", "http://h:1") as state:
        state.credentials = replace(CREDENTIALS, user_id="first")
        state.save(Position(1))
        for number, server in (("139", "http://h:1"), ("138", "http://h:2")):
            with State(tmp_path, number, server) as other:
                assert other.credentials is None


def test_state_is_used_by_one_client_at_a_time(tmp_path: Path) -> None:
    with State(tmp_path, "138", "s"), pytest.raises(InUse), State(tmp_path, "138", "s"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"credentials": {}, "last_seq": 1}'])
def test_a_damaged_state_is_dropped(tmp_path: Path, text: str) -> None:
    with State(tmp_path, "138", "s") as state:
        state.credentials = CREDENTIALS
        state.save(Position(7))
    (path,) = tmp_path.glob("*.json")
    path.write_text(text)
    with State(tmp_path, "138", "s") as state:
        assert (state.credentials, state.position) == (None, Position())


def test_the_state_folder_follows_the_desktop_conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    assert default_folder() == Path("/elsewhere/fsharechat")
    monkeypatch.delenv("XDG_STATE_HOME")
    assert default_folder() == Path.home() / ".local/state/fsharechat"


class Silent:
    """A chat that a pipe has no use for."""

    def prompt(self) -> str:
        return ">"

    async def complete(self, line: str) -> list[tuple[str, int]]:
        return []

    def typing(self, line: str) -> None: ...


async def read_all(pipe: Pipe) -> list[str]:
    return [line async for line in pipe.lines(Silent())]


async def test_lines_from_a_pipe_however_they_are_cut() -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"first\r\nsec")
        lines = Pipe(reader).lines(Silent())
        assert await anext(lines) == "first"
        os.write(writer, "ond 你\nthe rest".encode())
        os.close(writer)
        assert [line async for line in lines] == ["second 你", "the rest"]
    finally:
        os.close(reader)


async def test_lines_where_the_loop_cannot_wait_for_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)  # as the loop of Windows
    reader, writer = os.pipe()
    try:
        pipe = Pipe(reader)
        given_up = asyncio.create_task(pipe.ask(""))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        os.write(writer, b"first\nsec")
        assert await pipe.ask("") == "first"
        os.write(writer, "ond 你\n".encode())
        os.close(writer)
        assert await read_all(pipe) == ["second 你"]
    finally:
        os.close(reader)


async def test_lines_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("one\n\ntwo\n")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert await read_all(Pipe(descriptor)) == ["one", "", "two"]
    finally:
        os.close(descriptor)


def test_an_unreachable_server_is_said_in_plain_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--number", "13800000001", "--code", "1", "--http", "http://127.0.0.1:1"]
    assert terminal.main([*flags, "--state", str(tmp_path)]) == 1
    assert "Is the server running?" in capsys.readouterr().err


@pytest.mark.parametrize("tls", [True, False])
async def test_tls_is_spoken_when_told_to_and_hinted_at_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tls: bool
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    handshakes = []

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handshakes.append(writer)

    with State(tmp_path, "13800000001", "http://127.0.0.1:1") as state:
        state.credentials = CREDENTIALS
        state.save(Position())
    async with StreamPort(hang_up, context) as port:
        flags = ["--number", "13800000001", "--http", "http://127.0.0.1:1", "--state", str(tmp_path)]
        flags += ["--tcp", port.address, *(["--tls"] if tls else [])]
        assert await asyncio.to_thread(terminal.main, flags) == 1
    assert len(handshakes) == tls
    said = capsys.readouterr().err
    assert "The server closed the connection." in said
    assert ("--tls that it speaks TLS" in said) != tls


def test_a_state_in_use_is_said_in_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with State(tmp_path, "13800000001", "http://127.0.0.1:1"):
        flags = ["--number", "13800000001", "--code", "1", "--http", "http://127.0.0.1:1"]
        assert terminal.main([*flags, "--state", str(tmp_path)]) == 1
    assert "open in another terminal" in capsys.readouterr().err


def test_a_state_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    with State(tmp_path, "138", "s") as state:
        state.credentials = CREDENTIALS
        state.save(Position(7))
    (path,) = tmp_path.glob("*.json")
    kept = json.loads(path.read_text())
    del kept["groups"], kept["last_message"]
    path.write_text(json.dumps(kept))
    with State(tmp_path, "138", "s") as state:
        assert (state.credentials, state.position, state.groups) == (CREDENTIALS, Position(7), [])
