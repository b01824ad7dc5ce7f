"""The clock of the machine: what can be right, and what is said of what is not."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fsharechat import clock
from fsharechat.clock import EARLIEST_MS, LATEST_MS, REPORT_SECONDS, ClockWatch
from fsharechat.errors import StartError
from fsharechat.node import Node
from fsharechat.settings import Settings
from fsharechat.settings_schema import NodeSettings


@pytest.mark.parametrize("ms", [EARLIEST_MS, LATEST_MS - 1])
def test_a_time_that_may_be_right_is_no_problem(ms: int) -> None:
    assert clock.problem(ms) is None


@pytest.mark.parametrize(
    ("ms", "shown"),
    [
        (EARLIEST_MS - 1, "2019-12-31 23:59:59 UTC"),
        (0, "1970-01-01 00:00:00 UTC"),
        (LATEST_MS, "2100-01-01 00:00:00 UTC"),
        (10**30, "ms since 1970"),
    ],
)
def test_a_time_that_cannot_be_right_is_named(ms: int, shown: str) -> None:
    problem = clock.problem(ms)
    assert problem is not None
    assert shown in problem
    assert "NTP" in problem


def test_without_a_time_it_is_the_clock_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock.problem() is None
    monkeypatch.setattr(clock, "now_ms", lambda: 1_262_304_000_000)
    assert "2010-01-01" in (clock.problem() or "")


async def test_a_clock_before_2020_stops_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_262_304_000_000)
    node = Node(Settings(node=NodeSettings(data=tmp_path / "data")))
    with pytest.raises(StartError, match="the clock of this machine says 2010-01-01 00:00:00 UTC"):
        await node.boot()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("then", "within"), [(1000, False), (999, True), (-999, True), (-1000, False)])
def test_within_is_both_ways(then: int, within: bool) -> None:
    assert clock.within(1000, 5000 + then, 5000) is within


def test_what_goes_on_being_wrong_is_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = ClockWatch()
    with capture_logs() as logs:
        for _ in range(3):
            watch.peer_ahead(3, 61_000)
            watch.peer_ahead(4, 3_600_000)
            watch.behind(61_500)
        now[0] += REPORT_SECONDS
        watch.peer_ahead(3, 62_000)
    assert [(line["log_level"], line.get("node"), line["seconds"]) for line in logs] == [
        ("error", 3, 61),
        ("error", 4, 3600),
        ("error", None, 61),
        ("error", 3, 62),
    ]
