"""The state of a client between two runs, by number and server.

It has the credentials, the position in the inbox, and the ids of the user's groups, which no request lists.
"""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from fsharechat import file_lock
from fsharechat.client.models import Credentials, Position


class InUse(Exception):
    """Another running client uses this state. Two clients with one client id would replace each other for ever."""


def default_folder() -> Path:
    """Return ~/.local/state/fsharechat, or the folder in XDG_STATE_HOME."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "fsharechat"


class State:
    """One file in `folder`, locked while open. Use it as a context manager."""

    def __init__(self, folder: Path, number: str, server: str) -> None:
        """`server` is any text that names the server, such as its HTTP address."""
        name = re.sub(r"[^\w.@+-]+", "_", f"{number}_{server.partition('://')[2] or server}")
        self._path = folder / f"{name}.json"
        self._lock: IO[str] | None = None
        self.credentials: Credentials | None = None
        self.position = Position()
        self.groups: list[str] = []

    def __enter__(self) -> Self:
        """Lock and read the file. Raises InUse, and OSError if the folder cannot be used."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = open(self._path.with_suffix(".lock"), "a", encoding="ascii")
        if not file_lock.take(self._lock):
            self._lock.close()
            raise InUse
        self._read()
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()

    def save(self, position: Position, groups: Sequence[str] = ()) -> None:
        """Write the file, whole or not at all, readable only by its owner. It survives even a killed process."""
        if self.credentials is None:
            return
        self.position = position
        self.groups = list(groups)
        credentials = json.loads(self.credentials.to_json())
        kept = {"credentials": credentials, "groups": self.groups}
        text = json.dumps(kept | {"last_seq": position.seq, "last_message": position.message_id})
        new = self._path.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(self._path)

    def forget(self) -> None:
        """Drop credentials that the server no longer accepts, and their position."""
        self.credentials = None
        self.position = Position()
        self.groups = []
        self._path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            self.credentials = Credentials.from_json(json.dumps(kept["credentials"]))
            self.position = Position(int(kept["last_seq"]), int(kept.get("last_message", 0)))
            self.groups = [str(group_id) for group_id in kept.get("groups", [])]
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            self.forget()  # a damaged file: a new login replaces it
