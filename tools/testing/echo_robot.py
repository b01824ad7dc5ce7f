"""The agent that ships for development, as a process of its own, for tests of robots."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tools.services.service import free_port


@contextmanager
def echo_robot() -> Iterator[str]:
    """Run `fsharechat robot --echo` and yield its address."""
    listen = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "fsharechat", "robot", "--echo", "--listen", listen]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert f"http://{listen}" in process.stdout.readline()
            yield f"http://{listen}"
        finally:
            process.terminate()
            process.wait(30)
