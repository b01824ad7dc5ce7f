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
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    assert process.raise_open_files() > 1 << 40
