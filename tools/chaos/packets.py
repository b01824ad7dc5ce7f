"""Drops packets instead of refusing them: connections stay open, and nothing comes. It needs root and `nft`."""

import subprocess
from collections.abc import Iterable

from tools.services.errors import ServicesError
from tools.services.install import Installer, program

_RULES = """\
table inet {table} {{
    set ports {{ type inet_service; }}
    chain input {{
        type filter hook input priority 0;
        tcp dport @ports drop
        tcp sport @ports drop
    }}
}}
"""


class PacketFilter:
    """An own table of nftables, with that name."""

    def __init__(self, name: str) -> None:
        self._table = f"fsharechat_{''.join(one if one.isalnum() else '_' for one in name)}"

    def open(self) -> None:
        """Make the table, with nothing to drop yet. Raises CalledProcessError if that is not possible."""
        self.close()
        _nft(_RULES.format(table=self._table))

    def drop(self, ports: Iterable[int]) -> None:
        """From now on drop packets to and from these TCP ports."""
        if listed := ", ".join(map(str, ports)):
            _nft(f"add element inet {self._table} ports {{ {listed} }}")

    def close(self) -> None:
        """Let everything through. This also removes the table of an earlier run."""
        _nft(f"add table inet {self._table}\ndelete table inet {self._table}")


def can_drop() -> bool:
    """Return whether packets can be dropped here; `nft` is installed if it may be."""
    try:
        Installer(_quiet).require(["nftables"], lambda: program("nft") is not None)
        probe = PacketFilter("probe")
        probe.open()
        probe.close()
    except (ServicesError, subprocess.CalledProcessError):
        return False
    return True


def _quiet(_: str) -> None:
    """Return only whether a command works."""


def _nft(text: str) -> None:
    subprocess.run(
        [program("nft") or "nft", "-f", "-"], input=text, text=True, check=True, capture_output=True
    )
