"""A pytest plugin that makes the machine noisy: with `-p tools.testing.stalls` the tests stand still now and then.

A test that fails with it, and passes without, has a time limit that a busy machine can break, or looks once at what
it should wait for. Programs that tests have started go on meanwhile.
"""

import os
import random
import select
import signal
import subprocess
import sys

import pytest

BETWEEN_SECONDS = (0.0, 1.0)
STALL_SECONDS = (0.2, 1.0)

_stopper: subprocess.Popen[bytes] | None = None


def pytest_configure(config: pytest.Config) -> None:
    global _stopper
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return  # the tests are in other processes
    # It ends when this process ends, however that happens: its standard input does.
    _stopper = subprocess.Popen([sys.executable, __file__, str(os.getpid())], stdin=subprocess.PIPE)


def pytest_unconfigure() -> None:
    if _stopper is not None:
        _stopper.communicate()


def _stop_and_go(pid: int) -> None:
    while not _gone(random.uniform(*BETWEEN_SECONDS)):
        os.kill(pid, signal.SIGSTOP)
        try:
            _gone(random.uniform(*STALL_SECONDS))
        finally:
            os.kill(pid, signal.SIGCONT)


def _gone(seconds: float) -> bool:
    """Wait so long, or until the process of the tests has gone. Return whether it has."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


if __name__ == "__main__":
    _stop_and_go(int(sys.argv[1]))
