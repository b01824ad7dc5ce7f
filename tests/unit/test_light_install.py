"""What `pip install fsharechat` alone gives: the client library and the terminal client, on every system."""

import os
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fsharechat import file_lock
from fsharechat.client import InUse, State

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MOST_PACKAGES = 6
"""What a bot installs, beside what these need themselves: a handful."""
SENTENCE = 'pip install "fsharechat[server]"'


def names(requirements: Iterable[str]) -> set[str]:
    """Return the distributions that are wanted here, without those of extras."""
    wanted = map(Requirement, requirements)
    return {
        canonicalize_name(one.name) for one in wanted if not one.marker or one.marker.evaluate({"extra": ""})
    }


def all_of_the_client() -> set[str]:
    """Return the distributions that the client needs, and what these need."""
    found: set[str] = set()
    waiting = names(PROJECT["dependencies"])
    while waiting:
        found.add(name := waiting.pop())
        waiting |= names(requires(name) or []) - found
    return found


@cache
def of_the_server() -> frozenset[str]:
    """Return the modules of all packages that the client does not need."""
    may = {*all_of_the_client(), "fsharechat"}
    return frozenset(
        module
        for module, distributions in packages_distributions().items()
        if may.isdisjoint(map(canonicalize_name, distributions))
    )


def run_without(code: str, *more: str) -> subprocess.CompletedProcess[str]:
    """Run code where no package of the server's can be imported, and none of `more`."""
    before = f"""
        import sys
        hidden = {sorted({*of_the_server(), *more})!r}

        class Without:
            def __init__(self, finder):
                self.finder = finder

            def find_spec(self, name, path=None, target=None):
                return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

        sys.meta_path[:] = map(Without, sys.meta_path)
        for name in hidden:
            sys.modules.pop(name, None)
    """
    return subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(before) + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )


def test_it_is_a_handful_of_packages() -> None:
    assert len(names(PROJECT["dependencies"])) <= MOST_PACKAGES
    assert not names(PROJECT["dependencies"]) & names(PROJECT["optional-dependencies"]["server"])


def test_what_is_hidden_is_hidden() -> None:
    modules = ["pydantic", "structlog", "sqlalchemy", "aiokafka", "uvloop", "prometheus_client"]
    done = run_without(
        f"""
        for module in {modules}:
            try:
                __import__(module)
            except ModuleNotFoundError as error:
                print(error)
        """
    )
    assert done.stdout.splitlines() == [f"No module named '{module}'" for module in modules], done.stderr


def test_the_client_library_needs_nothing_else_and_nothing_of_unix() -> None:
    done = run_without(
        """
        import asyncio
        import fsharechat.client
        from fsharechat.client import Client, Credentials
        from fsharechat import file_lock
        assert file_lock.fcntl is None

        async def main():
            client = Client(Credentials("u", "dA==", "s" * 16, "d", "phone"), tcp="127.0.0.1:1")
            assert not client.connected

        asyncio.run(main())
        print("fine")
        """,
        *("fcntl", "uvloop", "resource", "pwd", "termios"),
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


@pytest.mark.parametrize("arguments", [["chat", "--help"], ["--help"], ["--version"], ["settings"]])
def test_the_terminal_client_and_what_helps_need_no_server(arguments: list[str]) -> None:
    done = run_without(f"from fsharechat.cli import main; sys.exit(main({arguments!r}))")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("arguments", [[], ["check"], ["migrate"], ["fence"], ["admin", "users", "list"]])
def test_a_command_of_the_server_says_what_to_install(arguments: list[str]) -> None:
    done = run_without(f"from fsharechat.cli import main; sys.exit(main({arguments!r}))")
    assert (done.returncode, done.stdout) == (1, "")
    assert SENTENCE in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_module_of_our_own_that_is_missing_is_a_fault() -> None:
    done = run_without(
        "from fsharechat.cli import main; sys.modules['fsharechat.commands'] = None; main(['check'])"
    )
    assert "Traceback" in done.stderr
    assert SENTENCE not in done.stderr


class FakeMsvcrt:
    """The module of Windows that locks parts of files, as far as it is used. Other systems have no real one."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self._locked: set[int] = set()

    def locking(self, descriptor: int, mode: int, size: int) -> None:
        assert (mode, size) == (self.LK_NBLCK, 1)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == file_lock.PLACE
        file = os.fstat(descriptor).st_ino
        if file in self._locked:
            raise PermissionError(13, "Permission denied")
        self._locked.add(file)


def test_on_windows_a_state_is_locked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "fcntl", None)
    monkeypatch.setattr(file_lock, "msvcrt", FakeMsvcrt())
    with State(tmp_path, "13800000001", "http://a"), pytest.raises(InUse):
        State(tmp_path, "13800000001", "http://a").__enter__()
