"""What an import reads from and writes to, before it begins; and what it tells."""

from io import StringIO
from pathlib import Path

import pytest

from fsharechat import backends
from fsharechat.cli import main
from fsharechat.errors import StartError
from fsharechat.moving import data
from fsharechat.moving.report import MAX_SHOWN, ImportReport, ProgressTicker
from fsharechat.moving.source import SourceError
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.settings import Settings
from fsharechat.store.imports import ImportFinding, ImportProgress
from fsharechat.ticker import TELL_SECONDS


@pytest.fixture(autouse=True)
def _log_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets up the log of its process, which other tests share."""
    monkeypatch.setattr("fsharechat.log.configure", lambda _: None)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("nowhere.sql", "there is no such file"),
        ("mysql://10.0.0.8/fsharechat", "mysql://user:password@host/database"),
        ("mysql://user:geheim@10.0.0.8", "mysql://user:password@host/database"),
        ("mysql://user:geheim@10.0.0.8:port/x", "is not a host"),
    ],
)
def test_a_source_that_is_none_is_refused_without_its_password(place: str, said: str) -> None:
    with pytest.raises(SourceError, match=said) as refused:
        data.source_of(place, "")
    assert "geheim" not in str(refused.value)


def test_a_source_is_named_without_its_password() -> None:
    source = data.source_of("mysql://user:geheim@10.0.0.8/fsharechat", "")
    assert source.name == "mysql://10.0.0.8:3306/fsharechat"


def test_the_command_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.sql"
    empty.write_text("\n")
    for place, said in (
        ("mysql://user:geheim@127.0.0.1:9/x", "127.0.0.1:9"),
        (str(empty), "is not a database of the original: there is no t_user, t_user_session"),
    ):
        assert main(["import-data", place, "--data", str(tmp_path / "data")]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("fsharechat: ")
        assert said in line
        assert "geheim" not in line


async def test_group_processes_that_run_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = MemoryRegistry()
    await registry.lease("connector", 0, "10.0.0.2:7000")
    monkeypatch.setattr(backends, "make_registry", lambda _: registry)
    await data._check_nobody_serves(Settings())
    await registry.lease("group", 1, "10.0.0.1:7000")
    with pytest.raises(StartError, match=r"group processes run: 10\.0\.0\.1:7000\. Stop all of them first"):
        await data._check_nobody_serves(Settings())


def test_findings_are_told_at_once_and_counted() -> None:
    told = StringIO()
    report = ImportReport(told)
    report.add([ImportFinding("odd", f"row {number}") for number in range(MAX_SHOWN + 5)])
    assert told.getvalue().count("odd: row") == MAX_SHOWN
    report.totals({"users": ImportProgress(0, 1_000, 999, 1)})
    assert told.getvalue().endswith(f"users: 1,000 read, 999 taken, 1 left out\nodd ({MAX_SHOWN + 5})\n")


def test_it_is_told_every_few_seconds_how_far_it_is() -> None:
    told = StringIO()
    now = [0.0]
    ticker = ProgressTicker(told, lambda: now[0])
    ticker.moved("messages", 500, 500, 2_000)
    assert told.getvalue() == ""
    now[0] = TELL_SECONDS
    ticker.moved("messages", 500, 1_000, 2_000)
    assert told.getvalue() == "messages: 1,000 of about 2,000 rows; 200 rows a second in all\n"
    ticker.moved("messages", 500, 1_500, 2_000)
    assert told.getvalue().count("\n") == 1
