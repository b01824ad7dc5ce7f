"""A low limit of open files: a start that fails and says what to raise, not a server that refuses everybody."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fsharechat import process
from tools.testing.server import BOUND


@pytest.mark.parametrize("roles", ["connector,group,api", "group"])
def test_a_process_with_too_few_does_not_start(tmp_path: Path, roles: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fsharechat", "--data", str(tmp_path / "data"), "--roles", roles],
        env={"FSHARECHAT_CONNECTOR__TCP_PORT": "0", "FSHARECHAT_API__PORT": "0"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
    )
    assert done.returncode == 1
    started, said = done.stderr.splitlines()
    assert '"event":"starting"' in started
    assert said.startswith(
        "fsharechat: the limit of open files is 100, and 256 are the least: raise it (ulimit"
    )


def test_no_limit_is_more_than_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert process.raise_open_files() > 1 << 40


@pytest.mark.parametrize("most", [process.MAC_FILES, 1000])
def test_a_system_that_promises_any_number_and_gives_fewer(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    def refuse(_: int, limits: tuple[int, int]) -> None:
        if not 0 <= limits[0] <= most:
            raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert process.raise_open_files() == (most if most == process.MAC_FILES else 256)


def test_without_such_a_limit_both_ports_take_fewer_than_the_loop_can_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "resource", None)
    connections = process.raise_open_files() - process.SPARE_FILES
    assert connections > 0
    assert 2 * connections + process.SPARE_FILES <= process.SELECTED_SOCKETS
