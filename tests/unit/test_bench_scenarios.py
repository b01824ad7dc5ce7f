"""The parts of the scenarios: times, results, goals, the check of what devices get, and stores made through SQL."""

import asyncio
import base64
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.ids import time_of
from fsharechat.protocol.messages_pb2 import Message
from fsharechat.protocol.numbers import ConversationType
from fsharechat.store.messages import conversation_key
from roles.group.tokens import TokenSigner
from tools.bench import plots
from tools.bench.counter import calls_table, conversions
from tools.bench.device import BenchDevice, Post
from tools.bench.echo import EchoProtocol
from tools.bench.gate import GateResult, baseline, more_conversions, renew
from tools.bench.goals import GOALS, goals_rows, goals_table
from tools.bench.histogram import LatencyHistogram, bucket_of, highest_in
from tools.bench.link import BenchError
from tools.bench.login import client_of
from tools.bench.made import DATABASE, MadeStore, uid_of
from tools.bench.page import BEGIN, END, write_page
from tools.bench.results import RunResults, ScenarioRow, compare, figures_table
from tools.bench.texts import TextParts, parse
from tools.wire.bodies import WireAccount
from tools.wire.frames import encode

NUMBERS = st.integers(0, 1 << 40)


@given(NUMBERS)
def test_a_bucket_is_less_than_one_percent_wide(value: int) -> None:
    bucket = bucket_of(value)
    assert value <= highest_in(bucket) <= value * 1.01
    assert bucket_of(highest_in(bucket)) == bucket
    assert bucket_of(highest_in(bucket) + 1) == bucket + 1


@given(st.lists(st.floats(0, 1e5), min_size=1), st.floats(0.1, 100))
def test_percentiles_are_those_of_the_times(times: list[float], percent: float) -> None:
    rank = max(0, -int(-len(times) * percent // 100) - 1)
    exact = sorted(times)[rank]
    found = LatencyHistogram.of(times).percentile(percent)
    assert exact - 2e-6 <= found <= exact * 1.01 + 2e-6


def test_counts_of_several_are_added_and_kept() -> None:
    one, other = LatencyHistogram.of([0.001, 0.002]), LatencyHistogram.of([0.5])
    one.add(other)
    assert len(one) == 3
    assert LatencyHistogram.load(one.dump()).counts == one.counts
    assert LatencyHistogram().percentile(99) == 0.0
    assert one.figures("ack ")["ack p99.9 ms"] == pytest.approx(500, rel=0.01)


FACTS = {"cpu": "2 x This, load 0.10", "python": "3.11.7, SQLite 3"}
ROW = ScenarioRow("group", "20 members, 2 online", {"cpu us/copy": 10.0, "msg/s": 1234.0})


def test_results_come_back_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "more" / "results.json"
    run = RunResults(FACTS, [ROW, ScenarioRow("paced", "500", {"p99 ms": 3.0}, {"12": 4})])
    run.write(file)
    assert RunResults.read(file) == run
    (tmp_path / "other.json").write_text('{"cases": []}')
    for wrong in ("other.json", "none.json"):
        with pytest.raises(BenchError, match="no results of scripts/bench"):
            RunResults.read(tmp_path / wrong)


def test_compared_are_ratios_with_a_note_where_the_machine_differs() -> None:
    slower = ScenarioRow("group", "20 members, 2 online", {"cpu us/copy": 15.0, "new": 1.0})
    before = RunResults(FACTS, [ROW, ScenarioRow("storm", "gone", {})])
    same = {**FACTS, "cpu": "2 x This, load 9.99"}
    text = compare(before, RunResults(same, [slower, ScenarioRow("login", "first", {})]))
    assert "note" not in text
    assert text.splitlines()[1].split()[-4:] == ["us/copy", "10", "15", "1.50"]
    assert "only before: storm gone" in text
    assert "only after: login first" in text
    other = compare(before, RunResults({**FACTS, "python": "3.13.1, SQLite 3"}, []))
    assert "note: python was 3.11.7, SQLite 3, and is 3.13.1, SQLite 3" in other


def test_a_table_has_all_figures_of_its_rows() -> None:
    heading, first, second = figures_table([ROW, ScenarioRow("group", "x", {"more": 1.5})]).splitlines()
    assert heading.split()[-1] == "more"
    assert first.split()[-3:] == ["10", "1,234", "-"]
    assert second.split() == ["x", "-", "-", "1.5"]


def test_goals_stand_beside_what_was_measured() -> None:
    rows = [
        ScenarioRow("pairs", "50x8 tcp", {"msg/s": 30_000.0}),
        ScenarioRow("storm", "10,000 devices, 20 messages each", {"cpu ms/device": 0.7}),
    ]
    found = {(row[0], row[1]): row[3:] for row in goals_rows(rows)}
    assert found["pairs 50x8 tcp", "msg/s"] == ["30,000", "yes"]
    assert found["storm 10,000 devices, 20 messages each", "cpu ms/device"] == ["0.7", "no"]
    assert sum(row == ["-", "not measured"] for row in found.values()) == len(GOALS) - 2
    assert len(goals_table(rows).splitlines()) == len(GOALS) + 1


def test_the_page_holds_the_last_rows_and_plots(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    files = []
    for number in (5.0, 6.0):
        paced = ScenarioRow("paced", "500 messages a second", LatencyHistogram.of([number]).figures())
        files.append(tmp_path / f"{number}.json")
        RunResults(FACTS, [paced, ScenarioRow("login", "new", {"cpu ms/login": 1.0})]).write(files[-1])
    write_page(files, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| 500 messages a second | 6,0" in text
    assert "(images/bench-latency.png)" in text
    assert (tmp_path / "images" / "bench-latency.png").read_bytes().startswith(b"\x89PNG")
    page.write_text("no marks")
    with pytest.raises(BenchError, match="lacks the lines"):
        write_page(files, page)


def test_each_scenario_with_times_has_a_plot(tmp_path: Path) -> None:
    times = LatencyHistogram.of([0.001, 0.002])
    rows = [
        ScenarioRow("group", "1,000 members, 100 online", {"cpu ms/msg": 2.0}),
        ScenarioRow("mixed", "login", times.figures(), times.dump()),
    ]
    drawn = plots.plot_all(rows, tmp_path)
    assert [file.name for file in drawn] == ["bench-group.png", "bench-mixed.png"]
    assert all(file.stat().st_size < 100_000 for file in drawn)


class Fellows:
    """Two devices without connections, and what the second is to get: texts 0 and 1 of the first."""

    def __init__(self) -> None:
        self.post = Post()
        accounts = [WireAccount(f"u{n}", f"c{n}", "AAAA", "0123456789abcdef") for n in range(2)]
        self.ann, self.ben = (BenchDevice(n, one, self.post) for n, one in enumerate(accounts))
        self.ben.connected(5)
        for _ in range(2):
            self.ann.send("u1", [self.ben], due=1.0)
        self.ben.notified(6, 2.0)

    def get(self, seqs: list[int], current: int, pull: int = 1, sender: int = 0) -> None:
        self.ben.pulled(pull, [TextParts(sender).text(seq) for seq in seqs], current, 3.0)


async def test_a_device_takes_what_was_sent_to_it() -> None:
    pair = Fellows()
    pair.post.measuring = True
    pair.get([0, 1], 7)
    assert (pair.post.delivered, pair.post.awaited, pair.post.faults) == (2, 0, [])
    assert pair.post.arrivals.percentile(100) == pytest.approx(2.0, rel=0.01)


async def test_a_device_drops_what_comes_again_and_its_own() -> None:
    pair = Fellows()
    pair.get([0], 6)
    pair.ben.notified(6, 2.0)
    pair.get([0, 1], 7, pull=2)
    pair.ben.notified(8, 2.0)
    pair.get([0], 8, pull=3, sender=1)
    assert (pair.post.delivered, pair.post.repeated, pair.post.awaited, pair.post.faults) == (2, 1, 0, [])


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda pair: pair.get([1], 6), "got message 1 of 0, expecting 0"),
        (lambda pair: pair.get([0, 0], 7), "got message 0 of 0, expecting 1"),
        (lambda pair: pair.get([0, 1, 2], 8), "expecting nothing"),
        (lambda pair: pair.get([0], 8), "asked for 6, got 1 messages and current 8"),
        (lambda pair: pair.get([0], 6, pull=2), "did not ask for"),
        (lambda pair: pair.get([0], 6, sender=3), "message 0 of 3, expecting nothing"),
        (lambda pair: pair.ben.pulled(1, [b"?"], 6, 3.0), "damaged or foreign"),
        (lambda pair: pair.ann.acked(10_000, 250, 3.0), "refused with code 250"),
        (lambda pair: pair.ann.acked(10_009, 0, 3.0), "not open"),
    ],
)
async def test_what_is_wrong_with_a_delivery(act: Callable[[Fellows], None], says: str) -> None:
    pair = Fellows()
    act(pair)
    assert says in pair.post.faults[0]


async def test_a_made_store_has_what_the_server_would_have_written(tmp_path: Path) -> None:
    made = MadeStore(tmp_path)
    await made.create()
    made.put_users(range(4), devices=1)
    group = made.put_group(0, range(3))
    made.put_conversations([(0, 1), (2, 3)], 5)
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        rows = database.execute("SELECT id, sender, conversation, body FROM messages ORDER BY id").fetchall()
        inbox = database.execute("SELECT seq, message_id FROM inbox WHERE uid = ? ORDER BY seq", (uid_of(1),))
        assert inbox.fetchall() == [(n + 1, rows[2 * n][0]) for n in range(3)]
        heads = dict(database.execute("SELECT uid, seq FROM heads").fetchall())
        assert heads == {uid_of(0): 3, uid_of(1): 3, uid_of(2): 2, uid_of(3): 2}
        indexes = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
        assert ("messages_history",) in indexes
        count = database.execute("SELECT COUNT(*) FROM group_members WHERE group_id = ?", (group,)).fetchone()
        assert count == (3,)
        key = database.execute("SELECT value FROM facts WHERE name = 'token_key'").fetchone()[0]
        secret, issued = database.execute("SELECT secret, issued_ms FROM sessions LIMIT 1").fetchone()
    for n, (id, sender, conversation, body) in enumerate(rows):
        pair, message = n % 2, Message.FromString(body)
        assert sender == message.from_user == uid_of(2 * pair)
        assert conversation == conversation_key(ConversationType.PRIVATE, 0, uid_of(2 * pair + 1), sender)
        assert parse(message.content.searchable_content.encode()) == (pair, n // 2)
        assert (message.message_id, message.server_timestamp) == (id, time_of(id))
    account = made.accounts([0])[0]
    token = base64.b64decode(account.user_token)
    assert TokenSigner(key).issued_at(token, uid_of(0), client_of(0, 0)) == issued
    assert account.secret == secret


def test_the_gate_compares_sums_and_keeps_the_middle_run(tmp_path: Path) -> None:
    runs = [GateResult([ours, ours], [1.0, 3.0]) for ours in (40.0, 44.0, 80.0)]
    assert [run.ratio for run in runs] == [20.0, 22.0, 40.0]
    renew(runs, {"FromString a": 1.0}, tmp_path / "gate.json")
    assert baseline(tmp_path / "gate.json") == 22.0
    assert 1 < baseline() < 100


def test_one_more_conversion_for_each_message_is_found() -> None:
    lines = ["roles.a.f 30", "convert.FromString|roles.a 20", "convert.dumps|roles.b 1"]
    found = conversions(lines, 10)
    assert found == {"FromString roles.a": 2.0, "dumps roles.b": 0.1}
    assert more_conversions(found, {"FromString roles.a": 1.0}) == {"FromString roles.a": 1.0}
    assert more_conversions(found, {"FromString roles.a": 1.9}) == {}
    assert "convert" not in calls_table(lines, 10)


def test_a_bare_echo_sends_frames_back() -> None:
    frame = encode(9, 7, 3, b"body")
    written: list[bytes] = []

    class Recorder(asyncio.WriteTransport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            written.append(bytes(data))

    echo = EchoProtocol()
    echo.connection_made(Recorder())
    for part in (frame + frame[:5], frame[5:]):
        echo.data_received(part)
    assert b"".join(written) == frame * 2
