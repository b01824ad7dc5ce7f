"""The conformance suite against a cluster: the people of a row are on different connectors."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster_kit import MakeCluster
from tests.server import SUPER_CODE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 600


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
    failed = [line for line in done.stdout.splitlines() if " FAIL " in line]
    assert done.returncode == 0, "\n".join([*failed, done.stderr, done.stdout[-3000:]])
    assert it.faults() == []
