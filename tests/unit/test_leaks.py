"""With the plugin that looks for what was never closed, the test that leaves it fails, and no other."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.services.places import ROOT

LOOP = """
import socket

class Ring:
    def __init__(self, socket):
        self.ring, self.socket = self, socket
"""

LEFT_IN_A_CYCLE = "Ring(socket.socket())"
LEFT_IN_THE_LOG = """
    try:
        left = Ring(socket.socket())
        raise ValueError
    except ValueError:
        import logging
        logging.exception("it holds the traceback, and so the socket")
"""
CLOSED = "Ring(socket.socket()).socket.close()"


@pytest.mark.parametrize(
    ("body", "errors"),
    [(LEFT_IN_A_CYCLE, 1), (LEFT_IN_THE_LOG, 1), (CLOSED, 0)],
    ids=["cycle", "log", "closed"],
)
def test_the_test_that_leaves_a_socket_fails(tmp_path: Path, body: str, errors: int) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(f"{LOOP}\ndef test_first():\n    {body}\n\ndef test_second():\n    pass\n")
    options = ["-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
    options += ["-p", "tools.testing.leaks", "-W", "error"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == errors, done.stdout + done.stderr
    assert ("ERROR at teardown of test_first" in done.stdout) == bool(errors), done.stdout
    assert ("never closed:\n<socket.socket" in done.stdout) == bool(errors)
    assert "of test_second" not in done.stdout
