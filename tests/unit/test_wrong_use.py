"""What an operator did wrong ends with one clear line, without a traceback, and with the right exit code."""

import errno
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from fsharechat import cli, commands, log
from fsharechat.client import terminal
from fsharechat.data_folder import DataFolder
from fsharechat.errors import StartError, listen_problem, os_reason


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the working directory, the environment, the log configuration and the umask out of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})
    monkeypatch.setattr(log, "configure", lambda _: None)
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def used(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """Return the exit code of a command, and its one line of errors."""
    try:
        code = cli.main(argv)
    except SystemExit as ended:
        code = int(str(ended.code))
    errors = capsys.readouterr().err
    (line,) = errors.splitlines()
    return code, line


@pytest.mark.parametrize("count", ["0", "-1", "a", "1.5", "²"])
def test_a_number_of_backups_that_is_none(capsys: pytest.CaptureFixture[str], count: str) -> None:
    assert used(capsys, "backup", "vault", f"--keep={count}") == (
        2,
        f"fsharechat backup: argument --keep: {count!r}: must be a whole number, at least 1; "
        "see fsharechat backup --help",
    )


def test_a_file_in_the_place_of_a_folder_of_backups(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "vault").touch()
    assert used(capsys, "backup", "vault", "--media-only") == (
        1,
        f"fsharechat: {tmp_path}/vault/incoming: Not a directory",
    )


def test_the_status_has_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert used(capsys, "status", "now") == (
        2,
        "fsharechat status: unrecognized arguments: now; see fsharechat status --help",
    )
    code, line = used(capsys, "status")
    assert code == 2
    assert line.startswith("fsharechat status: no key: set [api] key in the settings file, or")


@pytest.mark.parametrize("command", [("status",), ("admin", "users", "list")])
def test_a_server_that_does_not_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setitem(os.environ, "FSHARECHAT_API__KEY", "0123456789abcdef")
    with socket.socket() as kept:  # it has the port, and does not listen
        kept.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{kept.getsockname()[1]}"
        code, line = used(capsys, *command, "--url", url)
    name = f"fsharechat {command[0]}"
    assert (code, line) == (1, f"{name}: the server at {url} cannot be reached: Connection refused")


def test_an_agent_on_a_port_that_is_taken(capsys: pytest.CaptureFixture[str], taken_port: int) -> None:
    place = f"127.0.0.1:{taken_port}"
    code, line = used(capsys, "robot", "--echo", "--listen", place)
    assert (code, line) == (
        1,
        f"fsharechat robot: --listen: another process listens on {place} already",
    )


@pytest.mark.parametrize("place", ["8090", ":8090", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:²"])
def test_an_agent_at_a_place_that_is_none(capsys: pytest.CaptureFixture[str], place: str) -> None:
    assert used(capsys, "robot", "--echo", "--listen", place) == (
        2,
        f"fsharechat robot: --listen {place!r}: must be host:port, such as 127.0.0.1:8090; "
        "see fsharechat robot --help",
    )


WEB = "must be http://host:port or https://host:port, such as http://127.0.0.1:8081"
WEBSOCKET = "must be ws://host:port or wss://host:port, such as ws://127.0.0.1:9326"
TCP = "must be host:port, such as 127.0.0.1:6789"


@pytest.mark.parametrize(
    ("command", "flag", "given", "right"),
    [
        *(
            (("chat",), "--ws", given, WEBSOCKET)
            for given in ("foo", "http://h:1", "ws://", "ws://h:99999", "")
        ),
        *(
            (("chat",), "--tcp", given, TCP)
            for given in ("foo", "h:99999", ":1", "h:", "tcp://h:1", "h:1/x", "h :1")
        ),
        *((("chat",), "--http", given, WEB) for given in ("foo", "127.0.0.1:8081", "ws://h:1", "http://:1")),
        (("status",), "--url", "foo", WEB),
        (("admin", "users", "list"), "--url", "127.0.0.1:8081", WEB),
    ],
    ids=str,
)
def test_an_address_that_is_none_is_named_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...], flag: str, given: str, right: str
) -> None:
    code, line = used(capsys, *command, f"{flag}={given}")
    name = " ".join(("fsharechat", *command))
    assert (code, line) == (2, f"{name}: argument {flag}: {given!r}: {right}; see {name} --help")


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        *(("--ws", given) for given in ("ws://h:1", "WSS://im.example.org/", "ws://[::1]:9326/path")),
        *(("--tcp", given) for given in ("h:1", "[::1]:6789", "127.0.0.1:65535")),
        *(("--http", given) for given in ("http://h", "https://im.example.org/api/", "http://[::1]:8081")),
    ],
)
def test_right_addresses_are_taken_as_they_are(flag: str, given: str) -> None:
    assert given in vars(terminal._parser().parse_args([flag, given])).values()


COMMANDS = ((), ("chat",), ("admin",), ("status",), ("robot",), ("import-config",), ("import-data",))


@pytest.mark.parametrize(
    "command", [*COMMANDS, ("backup",), ("restore",), ("admin", "users", "list")], ids=str
)
def test_a_flag_that_is_wrong_is_one_line_without_the_usage(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    code, line = used(capsys, *command, "--nonsense")
    assert code == 2
    assert re.fullmatch(r"(fsharechat[a-z -]*): .+; see \1 --help", line), line


def test_a_command_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = used(capsys, "start")
    assert code == 2
    assert line.startswith("fsharechat: there is no command 'start'; it is one of check, migrate, ")


def test_ctrl_c_while_it_loads_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "run", interrupted)
    assert cli.main([]) == 130


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_data_folder_that_is_a_file(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StartError) as refused, DataFolder(file / below):
        pass
    assert str(refused.value) == f"[node] data = {str(file / below)!r}: {file} is not a folder"


def test_why_a_server_cannot_listen() -> None:
    absent = OSError(errno.EADDRNOTAVAIL, "error while attempting to bind on address ('192.0.2.1', 1): …")
    assert listen_problem("192.0.2.1", 1, absent) == "this machine does not have the address 192.0.2.1"
    denied = OSError(errno.EACCES, "error while attempting to bind on address ('127.0.0.1', 1): …")
    assert listen_problem("127.0.0.1", 1, denied) == "cannot listen on 127.0.0.1: Permission denied"
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert listen_problem("h", 1, unknown) == "cannot listen on h: Name or service not known"


def test_the_reason_of_a_fault_of_the_system() -> None:
    assert os_reason(aiohttp.ServerDisconnectedError()) == "Server disconnected"
    assert os_reason(OSError("Multiple exceptions: a, b")) == "Multiple exceptions: a, b"
    assert os_reason(ConnectionResetError()) == "ConnectionResetError"
