"""Makes the package of scripts/package: the locked libraries and the program in `lib`, a folder for each service."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
SOURCES = ("fsharechat", "roles", "pyproject.toml", "README.md", "LICENSE")
SERVICES = ("push-connector", "push-group", "push-api", "push-media")
_NOT_SENT = shutil.ignore_patterns("__pycache__", "node_modules")

_CHECK = """\
import sys, sysconfig

WANTED = {wanted!r}
found = (sys.version_info[:2], sysconfig.get_platform())
if found != WANTED:
    names = ["Python %d.%d on %s" % (*version, platform) for version, platform in (WANTED, found)]
    sys.exit("the libraries of this package are for %s. This is %s: scripts/package makes one for it" % tuple(names))
"""


def make(target: Path) -> Path:
    """Make the package in a folder, and return the file."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix="package-") as temporary:
        sources = Path(temporary) / "sources"
        _copy_sources(sources)
        version = _version(sources)
        top = Path(temporary) / f"fsharechat-{version}"
        top.mkdir()
        _install(top / "lib", "--require-hashes", "-r", str(ROOT / "requirements.txt"))
        _install(top / "lib", "--no-deps", "--no-build-isolation", "--upgrade", str(sources))
        _lay_out(top)
        packed = Path(temporary) / f"{top.name}.tar.gz"
        with tarfile.open(packed, "w:gz") as archive:
            archive.add(top, top.name)
        return packed.replace(target / packed.name)


def _copy_sources(folder: Path) -> None:
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=_NOT_SENT)
        else:
            shutil.copy(ROOT / name, folder / name)


def _version(sources: Path) -> str:
    text = (sources / "fsharechat" / "__init__.py").read_text()
    [line] = (line for line in text.splitlines() if line.startswith("__version__"))
    return str(tomllib.loads(line)["__version__"])


def _install(folder: Path, *what: str) -> None:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--no-compile",
    ]
    command += ["--disable-pip-version-check", "--target", str(folder), *what]
    subprocess.run(command, check=True)


def _lay_out(top: Path) -> None:
    package = DEPLOY / "package"
    for name in SERVICES:
        folder = top / name
        (folder / "config").mkdir(parents=True)
        (folder / "logs").mkdir()
        shutil.copy(package / f"{name}.properties", folder / "config" / "application.properties")
        shutil.copy(package / "start", folder / name)
        # A batch file with the line ends of Unix may not be understood.
        (folder / f"{name}.bat").write_bytes((package / "start.bat").read_bytes().replace(b"\n", b"\r\n"))
    wanted = _running_python()
    (top / "check_python.py").write_text(_CHECK.format(wanted=wanted))
    shutil.copy(package / "README.md", top)
    shutil.copy(ROOT / "LICENSE", top)
    for name in ("systemd", "nginx"):
        shutil.copytree(DEPLOY / name, top / name)


def _running_python() -> tuple[tuple[int, int], str]:
    return sys.version_info[:2], sysconfig.get_platform()


def main(argv: Sequence[str]) -> None:
    print(make(Path(argv[0]) if argv else ROOT / "dist"))


if __name__ == "__main__":
    main(sys.argv[1:])
