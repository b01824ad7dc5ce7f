"""What the benchmark knows of the servers that it measures, and how it shows their figures."""

import os
import time
from pathlib import Path

import pytest

from tools.bench.cluster import Layout
from tools.bench.link import BenchError
from tools.bench.load import CaseResult
from tools.bench.report import case_table, cpu_table
from tools.bench.server import BenchServer, ProcessGroup, with_logs
from tools.services.process import Identity


def test_layouts() -> None:
    assert Layout.parse("2x3") == Layout(connectors=2, groups=3)
    assert str(Layout(2, 3)) == "2x3"


@pytest.mark.parametrize("text", ["", "2", "2x", "0x1", "1x0", "1x1x1", "axb"])
def test_what_is_no_layout(text: str) -> None:
    with pytest.raises(ValueError, match="is not CONNECTORSxGROUPS"):
        Layout.parse(text)


def server_of(*processes: Identity) -> BenchServer:
    return BenchServer(
        kind="cluster",
        http="http://127.0.0.1:1",
        addresses={"tcp": [("127.0.0.1", 2), ("127.0.0.1", 3)], "ws": [("127.0.0.1", 4)]},
        groups=[ProcessGroup("connector", processes), ProcessGroup("kafka", (), ours=False)],
        logs=[],
        layout="2x1",
    )


def test_clients_go_to_one_connector_after_the_other() -> None:
    server = server_of()
    assert [server.address("tcp", number)[1] for number in range(4)] == [2, 3, 2, 3]
    assert [server.address("ws", number)[1] for number in range(2)] == [4, 4]


def test_processes_of_a_server_are_read_and_missed() -> None:
    own = Identity.of(os.getpid())
    assert own is not None
    server = server_of(own)
    server.check_alive()
    assert server.groups[0].cpu_seconds() == pytest.approx(time.process_time(), abs=0.1)
    assert server.groups[1].cpu_seconds() == 0
    rss, pss = server.memory()
    assert rss >= pss > 1 << 20
    with pytest.raises(BenchError, match=f"gone: connector, pid {own.pid}"):
        server_of(Identity(own.pid, own.started - 1)).check_alive()


def test_errors_end_with_the_last_lines_of_logs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(30)))
    lines = str(with_logs(BenchError("wrong"), [tmp_path / "none", log])).splitlines()
    assert lines[:3] == ["wrong", f"the last lines of {log}:", "line 10"]
    assert lines[-1] == "line 29"


def result_of(server: str, groups: dict[str, float]) -> CaseResult:
    return CaseResult(
        server=server,
        transport="tcp",
        case="50x8",
        seconds=1.0,
        messages=5000,
        per_second=5000.0,
        p50_ms=1.0,
        p99_ms=2.0,
        ack_p50_ms=0.5,
        our_cpu_us=90.4,
        group_cpu_us=groups,
        our_cpu_share=0.45,
        services_cpu_share=0.3,
        generator_cpu_share=0.1,
        others_cpu_share=0.0,
        messages_per_notification=1.0,
        repeated_notifications=0,
        echoed_notifications=0,
    )


def test_tables_of_servers_side_by_side() -> None:
    single = result_of("all-in-one", {"server": 90.4})
    cluster = result_of("cluster 2x1", {"connector": 40.2, "kafka": 29.6})
    results = [single, cluster]
    first, second = case_table(results).splitlines()[1:]
    assert first.split()[2:6] == ["all-in-one", "5,000", "(28,000)", "14,000"]
    assert second.split()[2:6] == ["cluster", "2x1", "5,000", "4,000"]
    assert second.split()[9:14] == ["90", "45%", "30%", "10%", "0%"]
    heading, row = cpu_table(results).splitlines()
    assert heading.split() == ["case", "wire", "server", "connector", "kafka"]
    assert row.split() == ["50x8", "tcp", "cluster", "2x1", "40", "30"]
    assert cpu_table([single]) == ""
