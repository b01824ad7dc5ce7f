"""The workers of a server on this machine, and which of them holds a connection: from /proc."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CHILD = b"fsharechat.workers.child"


def workers_of(main: int) -> list[int]:
    """Return the process ids of the workers of a main process, by their numbers."""
    return sorted((pid for pid in _children(main) if is_worker(pid)), key=_number)


def is_worker(pid: int) -> bool:
    """Return whether a process is a worker that lives, and is not only waited for."""
    try:
        return _CHILD in _arguments(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_alive(pid: int) -> bool:
    """Return whether a process runs."""
    return Path(f"/proc/{pid}").exists()


def peers_of(worker: int, *addresses: str) -> set[str]:
    """Return the clients, as host:port, whose connections to these addresses (IPv4, host:port) a worker has."""
    ports = {int(address.rstrip("/").rpartition(":")[2]) for address in addresses}
    mine = set()
    with suppress(FileNotFoundError, ProcessLookupError):
        for one in Path(f"/proc/{worker}/fd").iterdir():
            with suppress(FileNotFoundError):
                mine.add(str(one.readlink()))
    return {peer for peer, port, inode in _established() if port in ports and f"socket:[{inode}]" in mine}


def _number(pid: int) -> int:
    return int(_arguments(pid)[-1])


def _arguments(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, (task / "children").read_text().split())


def _established() -> Iterator[tuple[str, int, str]]:
    """Yield the peer, the own port and the inode of each open IPv4 connection of this machine."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, own, peer, state, *_, inode = line.split()[:10]
        if state == "01":
            host, _, port = peer.partition(":")
            address = ".".join(map(str, bytes.fromhex(host)[::-1]))
            yield f"{address}:{int(port, 16)}", int(own.partition(":")[2], 16), inode
