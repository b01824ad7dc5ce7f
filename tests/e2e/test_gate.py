"""What a message costs does not grow unnoticed: CPU time against a bare echo, and conversions counted."""

from pathlib import Path

import pytest

from tools.bench.gate import (
    bound,
    conversions_baseline,
    more_conversions,
    run_conversions,
    run_gate,
)

pytestmark = pytest.mark.slow


async def test_a_message_takes_no_more_cpu_than_it_did(tmp_path: Path) -> None:
    """If it must take more, `scripts/bench gate --runs 5 --renew` makes a new baseline.

    The ratio of one run is up to 8 % away from that of another where the machine has work for twenty times its cores.
    So a growth must be seen in three runs.
    """
    most, ratios = bound(), list[float]()
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir(mode=0o700)
        ratios.append((await run_gate(folder)).ratio)
        if ratios[-1] < most:
            break
    assert min(ratios) < most


async def test_a_message_is_not_converted_more_often_than_it_was(tmp_path: Path) -> None:
    """One more conversion is too little CPU time to be seen by the other test. It is counted here."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    found = await run_conversions(folder, tmp_path / "calls")
    assert more_conversions(found, conversions_baseline()) == {}
