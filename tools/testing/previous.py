"""The version before this one, from git: the source tree that `previous_version` returns.

pyproject.toml names its commit. If it needs the same libraries, it runs with those of this checkout. Else its own
scripts make a .venv for it.
"""

import io
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from tools.services.places import ROOT, locked

SHALLOW = "this clone does not have the commit of the version before"
_LIBRARIES = "requirements.txt"
_MAKE_VENV = ". scripts/python-env && python_env run"


def previous_version() -> Path:
    """Return the source tree of the version before. Skips the test if the clone is too shallow for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    commit: str = project["tool"]["fsharechat"]["previous"]
    if not (ROOT / ".git").exists() or _git("cat-file", "--batch-check", said=commit).endswith(b" missing\n"):
        pytest.skip(SHALLOW)
    tree = ROOT / ".cache" / "versions" / commit
    with locked("versions", print):
        if not tree.exists():
            unpacked = tree.with_suffix(".new")
            shutil.rmtree(unpacked, ignore_errors=True)
            with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as files:
                files.extractall(unpacked, filter="data")
            unpacked.rename(tree)
    if (tree / _LIBRARIES).read_bytes() != (ROOT / _LIBRARIES).read_bytes():
        subprocess.run(["sh", "-ec", _MAKE_VENV], cwd=tree, check=True)
    return tree


def _git(*arguments: str, said: str = "") -> bytes:
    """Run git, and return its output."""
    asked = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(asked, input=said.encode(), stdout=subprocess.PIPE, check=True).stdout
