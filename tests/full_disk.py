"""A disk that is full: see the fixture `small_disk`."""

from pathlib import Path


def fill(folder: Path) -> Path:
    """Leave no byte free on the disk of a folder; return the file that is to be removed to free it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler
