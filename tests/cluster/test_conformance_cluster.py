"""The conformance suite against a cluster: the people of a row are on different connectors."""

import subprocess
from pathlib import Path

import pytest

from tools.testing.cluster import MakeCluster
from tools.testing.server import SUPER_CODE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
FAIL = " FAIL "
LINES_OF_A_REASON = 5


def try_rows(addresses: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/conformance", *addresses, "--code", SUPER_CODE, *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_every_row_of_the_contract_holds_in_a_cluster(
    cluster: MakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    """What fails beside many other rows is tried once more alone: then a busy machine is not the reason."""
    it = cluster(2, 2, media=1)
    it.faults()
    info = it.info()
    addresses = [part for kind in ("tcp", "ws", "http") for part in (f"--{kind}", ",".join(info[kind]))]
    done = try_rows(addresses)
    lines = done.stdout.splitlines()
    assert lines, done.stderr
    failed = [number for number, line in enumerate(lines) if FAIL in line]
    for number in failed:
        reasons = "\n".join(lines[number : number + LINES_OF_A_REASON])
        with capsys.disabled():
            print(f"\ntried once more:\n{reasons}")
        again = try_rows(addresses, "-k", lines[number].partition(FAIL)[2].strip())
        assert again.returncode == 0, f"{reasons}\nand once more:\n{again.stdout}{again.stderr}"
    assert bool(failed) == bool(done.returncode), done.stderr
    assert it.faults() == []
