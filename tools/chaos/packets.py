"""Drops packets instead of refusing them: connections stay open, and nothing comes. It needs root and `nft`."""

import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from tools.services.errors import ServicesError
from tools.services.install import Installer, program

_RULES = """\
table inet {table} {{
    set ports {{ type inet_service; }}
    set connections {{ type inet_service . inet_service; }}
    chain input {{
        type filter hook input priority 0;
        tcp dport @ports drop
        tcp sport @ports drop
        tcp dport . tcp sport @connections drop
        tcp sport . tcp dport @connections drop
    }}
}}
"""


class Ends(NamedTuple):
    """The TCP ports at both ends of a connection within the machine.

    The system may give an own port to several connections at once, of several programs: their other ends differ.
    """

    own: int
    peer: int
    """0: every one, for a port that somebody listens on."""


class PacketFilter:
    """An own table of nftables, with that name."""

    def __init__(self, name: str) -> None:
        self._table = f"fsharechat_{''.join(one if one.isalnum() else '_' for one in name)}"

    def open(self) -> None:
        """Make the table, with nothing to drop yet. Raises CalledProcessError if that is not possible."""
        self.close()
        _nft(_RULES.format(table=self._table))

    def drop(self, connections: Iterable[Ends]) -> None:
        """From now on drop the packets of these connections."""
        elements = [
            f"connections {{ {ends.own} . {ends.peer} }}" if ends.peer else f"ports {{ {ends.own} }}"
            for ends in connections
        ]
        if elements:
            _nft("\n".join(f"add element inet {self._table} {element}" for element in elements))

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
