"""A low limit of open files: a start that fails and says what to raise, not a server that refuses everybody."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import roles.api
import roles.connector
from fsharechat import open_files, process
from fsharechat.check import check
from fsharechat.node import Node
from fsharechat.settings import Settings
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


async def test_both_roles_say_what_was_asked_what_it_is_and_how_it_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for role in (roles.api, roles.connector):
        monkeypatch.setattr(role, "raise_open_files", lambda: 1024)
    settings = {
        "node": {"data": tmp_path / "data", "roles": ["connector", "group", "api"]},
        "connector": {"tcp_port": 0, "ws_port": 0, "max_connections": 897},
        "api": {"port": 0, "max_connections": 5000},
    }
    with capture_logs() as logs:
        async with Node(Settings.model_validate(settings)):
            pass
    said = [
        line for line in logs if line["event"].startswith("fewer connections than a setting asks for: raise")
    ]
    assert [(line["log_level"], line["setting"], line["asked"], line["connections"]) for line in said] == [
        ("info", "[connector] max_connections", 897, 896),
        ("info", "[api] max_connections", 5000, 896),
    ]
    assert all(line["open_files"] == 1024 and "LimitNOFILE" in line["how"] for line in said)


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        (
            1024,
            "1024 files, so [api] max_connections = 5000 becomes 896: raise the limit (ulimit -Hn, LimitNOFILE",
        ),
        (5128, "5128 files"),
        (sys.maxsize, "any number of files"),
    ],
)
async def test_the_check_says_what_becomes_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, said: str
) -> None:
    monkeypatch.setattr(open_files, "raise_open_files", lambda: allowed)
    settings = Settings.model_validate({"node": {"data": tmp_path, "roles": ["group", "api"]}})
    (found,) = [one for one in await check(settings) if one.name == "files"]
    assert found.ok
    detail = found.detail.partition(" of a systemd")[0]
    assert detail == f"a process that is started here may open {said}"


async def test_too_few_fail_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    (found,) = [
        one
        for one in await check(Settings.model_validate({"node": {"data": tmp_path}}))
        if one.name == "files"
    ]
    assert (found.ok, found.detail[:36]) == (False, "the limit of open files is 100, and ")
