"""What logins cost."""

from collections.abc import Sequence

from .cpu import CpuTimes
from .histogram import LatencyHistogram
from .link import BenchError
from .login import log_in
from .results import ScenarioRow, load_figures
from .server import BenchServer


async def run_logins(server: BenchServer, users: Sequence[int]) -> ScenarioRow:
    """Measure the logins of new users, as many side by side as in `log_in`. Raises BenchError."""
    before = CpuTimes.now(server)
    times = LatencyHistogram()
    accounts = await log_in(server.http, users, times=times)
    cpu = CpuTimes.now(server).since(before)
    if len({account.user_id for account in accounts}) != len(users):
        raise BenchError("two numbers have one user")
    figures = {
        "logins/s": len(users) / cpu.clock,
        "cpu ms/login": cpu.ours / len(users) * 1000,
        **times.figures(),
        **load_figures(cpu),
    }
    return ScenarioRow("login", f"{len(users):,} new users", figures)
