"""The folder of a service on its own small disk in memory, which can be full. It needs root."""

import subprocess
from pathlib import Path

SIZE = "1g"


def put_on_small_disk(folder: Path) -> bool:
    """Mount a small file system on a folder that does not exist yet. Return whether that was possible."""
    if folder.exists():
        return is_small_disk(folder)
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        return True
    folder.rmdir()
    return False


def is_small_disk(folder: Path) -> bool:
    return folder.is_mount()


def remove_small_disk(folder: Path) -> None:
    """Unmount it, with all its files."""
    if is_small_disk(folder):
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
