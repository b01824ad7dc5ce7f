"""Where runs keep their data, and how many files they may open."""

import resource
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .link import BenchError
from .report import filesystem_of
from .server import FOLDER


def check_disk(folder: Path = FOLDER) -> None:
    """Make the folder. Raises BenchError if it is only in memory."""
    folder.mkdir(parents=True, exist_ok=True)
    if (kind := filesystem_of(folder)) in ("tmpfs", "ramfs"):
        raise BenchError(
            f"{folder} is on {kind}: a commit costs nothing there, so the numbers would mean nothing"
        )


def raise_file_limit() -> int:
    """Raise the limit of open files, which the server inherits, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextmanager
def data_folder() -> Iterator[Path]:
    """A new folder, kept when the run fails."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    data = folder / "data"
    data.mkdir(mode=0o700)
    keep = False
    try:
        yield data
    except BenchError as error:
        keep = True
        raise BenchError(f"{error}\nthe server's data and log are kept in {folder}") from None
    finally:
        if not keep:
            shutil.rmtree(folder)
