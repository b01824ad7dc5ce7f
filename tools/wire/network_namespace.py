"""A separate network for clients, with packets of 1,500 bytes and a slow line to the server. It needs root."""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tools.wire.slow_line import connected

_CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace. Two virtual network cards join it to this machine, whose address there is `host`."""

    def __init__(self, number: int) -> None:
        self.name = f"fshare{number}"
        self.host = f"10.{number >> 8 & 0xFF}.{number & 0xFF}.1"
        self._inside = self.host[:-1] + "2"

    def open(self, megabit: int) -> None:
        """Make it, with a rate limit for incoming traffic. Raises OSError or CalledProcessError if it cannot."""
        here, there = f"{self.name}a", f"{self.name}b"
        _run("ip", "netns", "add", self.name)
        inside = ("ip", "-n", self.name)
        _run(
            "ip",
            "link",
            "add",
            here,
            "mtu",
            "1500",
            "type",
            "veth",
            "peer",
            "name",
            there,
            "mtu",
            "1500",
            "netns",
            self.name,
        )
        _run("ip", "addr", "add", f"{self.host}/30", "dev", here)
        _run("ip", "link", "set", here, "up")
        _run(*inside, "addr", "add", f"{self._inside}/30", "dev", there)
        _run(*inside, "link", "set", there, "up")
        # The queue cuts data into packets. Else the kernel would hand it over whole between virtual cards.
        _run(
            "tc",
            "qdisc",
            "add",
            "dev",
            here,
            "root",
            "tbf",
            "rate",
            f"{megabit}mbit",
            "burst",
            "16kb",
            "limit",
            "256kb",
        )

    def close(self) -> None:
        with suppress(OSError):  # without this program nothing was made
            subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)

    async def dial(self, host: str, port: int) -> socket.socket:
        """Connect from inside to `host`."""
        return await connected(self._socket(), host, port)

    def _socket(self) -> socket.socket:
        # A thread enters the namespace, makes a socket and ends. The socket stays in that network.
        made: list[socket.socket] = []

        def make() -> None:
            handle = os.open(Path("/var/run/netns") / self.name, os.O_RDONLY)
            try:
                if ctypes.CDLL(None, use_errno=True).setns(handle, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.socket())
            finally:
                os.close(handle)

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]


@contextmanager
def namespace(megabit: int) -> Iterator[Namespace | None]:
    """Yield a namespace, None if this machine allows none."""
    made = Namespace(os.getpid() & 0xFFFF)
    try:
        try:
            made.open(megabit)
        except (OSError, subprocess.CalledProcessError):
            yield None
        else:
            yield made
    finally:
        made.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
