"""The conformance suite against a cluster: the people of a row are on different connectors."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster_kit import MakeCluster
from tests.server import SUPER_CODE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600
LINES_OF_A_REASON = 5


def test_every_row_of_the_contract_holds_in_a_cluster(cluster: MakeCluster) -> None:
    it = cluster(2, 2)
    it.faults()
    info = it.info()
    addresses = [part for kind in ("tcp", "ws", "http") for part in (f"--{kind}", ",".join(info[kind]))]
    done = subprocess.run(
        ["scripts/conformance", *addresses, "--code", SUPER_CODE],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    lines = done.stdout.splitlines()
    failed = [number for number, line in enumerate(lines) if " FAIL " in line]
    reasons = [line for number in failed for line in lines[number : number + LINES_OF_A_REASON]]
    assert done.returncode == 0, "\n".join([*reasons, done.stderr, *lines[-3:]])
    assert it.faults() == []
