import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import uvloop

import fsharechat
from fsharechat import cli, log
from fsharechat.check import Check
from fsharechat.errors import StartError
from fsharechat.settings import Settings
from fsharechat.store.migrate import MigrationStep


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the working directory, the environment, the log configuration and signals out of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(log, "configure", lambda _: None)
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


class FakeNode(ModuleType):
    """Stands in for fsharechat.node; `seen` are the settings that it was called with."""

    StartError = StartError

    def __init__(self) -> None:
        super().__init__("fsharechat.node")
        self.seen = Settings()
        self.called = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.error = ""
        self.results: list[Check] = []

    async def run(self, settings: Settings, read: Callable[[], Settings]) -> int:
        self._see(settings)
        assert read().log == settings.log
        self.loop = asyncio.get_running_loop()
        if self.error:
            raise StartError(self.error)
        return 0

    async def check(self, settings: Settings) -> list[Check]:
        self._see(settings)
        return self.results

    async def close_to_older(self, settings: Settings) -> Check:
        self._see(settings)
        return self.results[0]

    async def migrate(self, settings: Settings, on_step: Callable[[MigrationStep], None]) -> Check:
        self._see(settings)
        on_step(MigrationStep(1, 2, "0043", "who is blacklisted", 0.25))
        return self.results[0]

    def _see(self, settings: Settings) -> None:
        self.seen, self.called = settings, True


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    fake = FakeNode()
    monkeypatch.setattr("fsharechat.check.check", fake.check)
    monkeypatch.setattr("fsharechat.check.close_to_older", fake.close_to_older)
    monkeypatch.setattr("fsharechat.check.migrate", fake.migrate)
    monkeypatch.setitem(sys.modules, "fsharechat.node", fake)
    monkeypatch.setattr(fsharechat, "node", fake, raising=False)
    return fake


def test_runs_the_server_on_uvloop_with_the_flags(node: FakeNode, tmp_path: Path) -> None:
    assert cli.main(["--roles", "connector,group,api", "--data", str(tmp_path / "d"), "--dev"]) == 0
    assert node.seen.node.data == tmp_path / "d"
    assert node.seen.codes.super_code == "66666"
    assert isinstance(node.loop, uvloop.Loop)


def test_dev_beyond_this_machine_makes_a_super_code_and_prints_it(
    node: FakeNode, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "environ", {"FSHARECHAT_CONNECTOR__HOST": "0.0.0.0"})
    made = set()
    for _ in range(2):
        assert cli.main(["--dev"]) == 0
        made.add(code := node.seen.codes.super_code)
        assert re.fullmatch("[0-9a-f]{16}", code)
        assert f"super code: {code}\n" in capsys.readouterr().out
    assert len(made) == 2


@pytest.mark.parametrize(
    ("flags", "environ"),
    [
        (["--dev"], {}),
        (["--dev"], {"FSHARECHAT_API__HOST": "0.0.0.0", "FSHARECHAT_CODES__SUPER_CODE": "Sesam66"}),
        ([], {"FSHARECHAT_API__HOST": "0.0.0.0"}),
        (["check", "--dev"], {"FSHARECHAT_API__HOST": "0.0.0.0"}),
    ],
    ids=str,
)
def test_otherwise_none_is_made_or_printed(
    node: FakeNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    environ: dict[str, str],
) -> None:
    monkeypatch.setattr(os, "environ", environ)
    assert cli.main(flags) == 0
    assert "super code" not in capsys.readouterr().out
    known = "66666" if flags == ["--dev"] else ""
    assert node.seen.codes.super_code == environ.get("FSHARECHAT_CODES__SUPER_CODE", known)


def test_dev_makes_a_key_of_the_back_office_that_its_owner_alone_may_read(
    node: FakeNode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "data" / "admin.key"
    for _ in range(2):  # the second run has the same key
        assert cli.main(["--dev"]) == 0
        assert capsys.readouterr().out == f"admin key: {file}\n"
        assert node.seen.api.key == file.read_text().strip()
    assert len(node.seen.api.key) >= 32
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o640)
    assert cli.main(["--dev"]) == 1
    assert "other users may read it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "environ", "key"),
    [
        ([], {}, ""),
        (["--dev"], {"FSHARECHAT_API__KEY": "a-key-of-the-settings"}, "a-key-of-the-settings"),
        (["--dev", "--roles", "connector,group"], {}, ""),
    ],
    ids=str,
)
def test_otherwise_no_key_is_made(
    node: FakeNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    environ: dict[str, str],
    key: str,
) -> None:
    monkeypatch.setattr(os, "environ", environ)
    assert cli.main(flags) == 0
    assert node.seen.api.key == key
    assert not (tmp_path / "data").exists()


def test_defaults_without_flags_or_files(node: FakeNode) -> None:
    assert cli.main([]) == 0
    assert node.called
    assert node.seen == Settings()


def test_the_settings_file_of_the_working_directory(node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[connector]\ntcp_port = 1")
    (tmp_path / "other.toml").write_text("[connector]\ntcp_port = 2")
    cli.main([])
    assert node.seen.connector.tcp_port == 1
    cli.main(["--settings", "other.toml"])
    assert node.seen.connector.tcp_port == 2


def test_the_environment(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"FSHARECHAT_CONNECTOR__TCP_PORT": "3"})
    cli.main([])
    assert node.seen.connector.tcp_port == 3


@pytest.mark.parametrize("command", [[], ["check"]])
def test_wrong_settings_end_with_2_and_run_nothing(
    node: FakeNode, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--settings", "none.toml"]) == 2
    assert capsys.readouterr() == ("", "none.toml: there is no such settings file\n")
    assert not node.called


def test_an_unknown_role_names_the_known_ones(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--roles", "connector,store"]) == 2
    assert "'store': no such role; roles found: api, connector, group" in capsys.readouterr().err


def test_what_cannot_start_is_one_line_and_1(node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    node.error = "[connector] tcp_port 6789: address in use"
    assert cli.main([]) == 1
    assert capsys.readouterr() == ("", "fsharechat: [connector] tcp_port 6789: address in use\n")


@pytest.mark.parametrize(("ok", "code", "word"), [(True, 0, "ok  "), (False, 1, "FAIL")])
def test_check_is_a_line_for_each_service(
    node: FakeNode, capsys: pytest.CaptureFixture[str], ok: bool, code: int, word: str
) -> None:
    node.results = [
        Check("bus", True, "memory"),
        Check("store", ok, "a text"),
    ]
    assert cli.main(["check", "--dev"]) == code
    assert capsys.readouterr().out == f"ok   bus: memory\n{word} store: a text\n"
    assert node.seen.codes.super_code == "66666"


@pytest.mark.parametrize(("ok", "code", "word"), [(True, 0, "ok  "), (False, 1, "FAIL")])
def test_fence_is_one_line(
    node: FakeNode, capsys: pytest.CaptureFixture[str], ok: bool, code: int, word: str
) -> None:
    node.results = [Check("fence", ok, "a text")]
    assert cli.main(["fence"]) == code
    assert capsys.readouterr().out == f"{word} fence: a text\n"


@pytest.mark.parametrize(("ok", "code", "word"), [(True, 0, "ok  "), (False, 1, "FAIL")])
def test_migrate_is_a_line_for_each_step_and_one_at_the_end(
    node: FakeNode, capsys: pytest.CaptureFixture[str], ok: bool, code: int, word: str
) -> None:
    node.results = [Check("migrate", ok, "a text")]
    assert cli.main(["migrate"]) == code
    assert capsys.readouterr().out == f"1/2  0043  0.2 s  who is blacklisted\n{word} migrate: a text\n"


def test_settings_prints_the_file_that_has_every_key(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["settings"]) == 0
    printed = capfdbinary.readouterr().out
    assert printed == (Path(fsharechat.__file__).parent / "settings.toml").read_bytes()


def test_chat_gets_everything_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsharechat.client.terminal.main", len)
    assert cli.main(["chat", "--number", "13800000001", "--help"]) == 3


@pytest.mark.parametrize("argv", [["--nonsense"], ["start"], ["--dev", "chat"]])
def test_wrong_flags_end_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith("; see fsharechat --help\n")


def test_help_names_commands_flags_and_roles(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in (
        "check",
        "chat",
        "--roles",
        "--settings",
        "--data",
        "--dev",
        "--version",
        "api,connector,group",
    ):
        assert word in text


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fsharechat", "--version"]
    root = Path(fsharechat.__file__).parents[1]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(root)}
    )
    assert (done.returncode, done.stdout) == (0, f"fsharechat {fsharechat.__version__}\n")
