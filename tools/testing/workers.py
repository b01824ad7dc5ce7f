"""The workers of a server on this machine, and which of them holds a connection: from /proc."""

from collections.abc import Iterable, Iterator
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


def holder_of(peer: str, workers: Iterable[int]) -> int | None:
    """Return the worker that has accepted the connection of a client, None if none has (yet).

    `peer` is host:port of the client, IPv4.
    """
    inode = _inode(peer)
    for pid in workers:
        with suppress(FileNotFoundError, ProcessLookupError):
            for one in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    if inode is not None and str(one.readlink()) == f"socket:[{inode}]":
                        return pid
    return None


def _number(pid: int) -> int:
    return int(_arguments(pid)[-1])


def _arguments(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            yield from map(int, (task / "children").read_text().split())


def _inode(peer: str) -> str | None:
    host, _, port = peer.rpartition(":")
    wanted = bytes(map(int, host.split(".")))[::-1].hex().upper() + f":{int(port):04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2] == wanted and fields[9] != "0":
            return fields[9]
    return None
