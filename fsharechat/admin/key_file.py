"""The key of the back office that `--dev` makes, in a file of the data folder that its owner alone may read."""

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from fsharechat.errors import StartError
from fsharechat.process import rights_of_others

NAME = "admin.key"
_BYTES = 32


def key_made(folder: Path) -> str:
    """Return the key of a data folder. It is made at the first call. Raises StartError.

    Where a file is in the folder's place, "" is returned: the start of the server says what is wrong.
    """
    file = folder / NAME
    if folder.is_file():
        return ""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, made = tempfile.mkstemp(dir=folder, prefix=NAME)  # its mode is 0600
        try:
            with open(descriptor, "w", encoding="ascii") as stream:
                stream.write(f"{secrets.token_urlsafe(_BYTES)}\n")
            with suppress(FileExistsError):
                os.link(made, file)  # the file is never seen half written
        finally:
            os.unlink(made)
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from error
    return key_of(folder)


def key_of(folder: Path) -> str:
    """Return the key of a data folder, "" if it has none. Raises StartError if it cannot be read, or others can."""
    file = folder / NAME
    try:
        with file.open(encoding="ascii") as stream:
            about = os.fstat(stream.fileno())
            if rights_of_others(about):
                mode = stat.S_IMODE(about.st_mode)
                raise StartError(
                    f"{file}: other users may read it (mode {mode:04o}). Delete it; --dev makes another"
                )
            return stream.read().strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StartError(f"{file}: {error.strerror}") from error
