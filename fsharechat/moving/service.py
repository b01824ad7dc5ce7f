"""A service of the package: a folder with config/, logs/ and a start script, as the original's guide has it
(docs/running.md, "The package").

    python3 -m fsharechat.moving.service FOLDER start|stop|restart|status
"""

import argparse
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from fsharechat import file_lock
from fsharechat.arguments import CommandParser
from fsharechat.moving import config
from fsharechat.settings import SettingsError, load
from fsharechat.settings_schema import Settings

ROLES = {
    "push-connector": "connector",
    "push-group": "group",
    "push-api": "api",
    config.MEDIA_SERVICE: "media",
}
MAIN = "push-group"
"""The service that runs all roles where the settings name no Kafka and no ZooKeeper."""

START_SECONDS = 8.0
"""How long `start` waits for the service to be ready. It may wait longer for others, in any order."""
STOP_SECONDS = 60.0

RUNS, FAILED, RUNS_NOT = 0, 1, 3
"""Exit codes; 3 is what `status` says of a service that does not run."""


class ServiceProblem(Exception):
    """The service cannot be started or stopped. The text is for the operator."""


class PackagedService:
    """One of the folders, and the process that runs from it. The process holds the lock of its pid file."""

    def __init__(self, folder: Path, say: Callable[[str], None] = print) -> None:
        self.folder = folder.absolute()
        self.name = folder.absolute().name
        if not hasattr(os, "fork"):
            raise ServiceProblem(
                f"{self.name}: on Windows the services of this package run in WSL 2 ({self.name}.bat). `fsharechat` "
                "itself runs on Windows (docs/running.md)"
            )
        if self.name not in ROLES:
            raise ServiceProblem(f"{folder}: the folder must be one of {', '.join(ROLES)}")
        self._say = say
        self._logs = self.folder / "logs"
        self.log = self._logs / f"{self.name}.log"
        self._pid_file = self._logs / f"{self.name}.pid"
        self._run = self.folder / "run"

    def start(self) -> int:
        self._logs.mkdir(exist_ok=True)
        with self._pid_file.open("a+", encoding="ascii") as lock:
            if not file_lock.take(lock):
                self._say(f"{self.name} runs already, process {_pid(lock)}")
                return RUNS
            settings, problems = self._settings()
            for problem in problems:
                self._say(problem)
            if settings.embedded and self.name != MAIN:
                self._say(
                    f"{self.name}: the files name no Kafka, ZooKeeper and MySQL, so {MAIN} runs all roles in one "
                    "process; there is nothing to start here"
                )
                return RUNS
            return self._spawn(settings, lock)

    def _spawn(self, settings: Settings, lock: IO[str]) -> int:
        command = [sys.executable, "-P", "-m", "fsharechat", "--settings", str(self._run / "settings.toml")]
        command += ["--data", str(self.folder / "data")]
        if not settings.embedded:
            command += ["--roles", ROLES[self.name]]
        with self.log.open("ab") as log:
            before = log.tell()
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock.fileno(),),  # the lock is held as long as the process lives
            )
        lock.truncate(0)
        lock.write(f"{process.pid}\n")
        lock.flush()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            said = self._said(before)
            if process.poll() is not None:
                raise ServiceProblem(
                    f"{self.name} ended with exit code {process.returncode}:\n{said[-2000:]}"
                )
            if "\nready roles=" in f"\n{said}":
                self._say(f"{self.name} runs, process {process.pid}")
                return RUNS
            time.sleep(0.1)
        self._say(f"{self.name} starts, process {process.pid}; {self.log} says what it waits for")
        return RUNS

    def _said(self, since: int) -> str:
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def _settings(self) -> tuple[Settings, list[str]]:
        """Write the settings file from the files of all services that are here, and return its settings."""
        shutil.rmtree(self._run, ignore_errors=True)
        self._run.mkdir(mode=0o700)
        names = (self.name, *(name for name in ROLES if name != self.name))
        files = [self.folder.parent / name / "config" / config.FILE for name in names]
        service = config.InstalledService(self.name, self._secret())
        found = [file for file in files if file.is_file()]
        text, remarks = config.convert(found, self._run / "tls", service)
        file = self._run / "settings.toml"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        settings = load(file, {"data": str(self.folder / "data")}, os.environ)
        return settings, [f"{self.name}: {remark}" for remark in remarks]

    def _secret(self) -> str:
        """Return what the services beside this one share. The first to start makes it."""
        file = self.folder.parent / "cluster.secret"
        if not file.exists():
            made = file.with_name(f".cluster.secret.{os.getpid()}")
            made.touch(mode=0o600)
            made.write_text(secrets.token_urlsafe(32), encoding="ascii")
            with suppress(FileExistsError):  # another service was faster
                file.hardlink_to(made)
            made.unlink()
        return file.read_text(encoding="ascii").strip()

    def stop(self) -> int:
        running = self._running()
        if running is None:
            self._say(f"{self.name} does not run")
            return RUNS
        os.kill(running, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._running() is not None:
            if time.monotonic() > deadline:
                raise ServiceProblem(f"{self.name}, process {running}, runs on after {STOP_SECONDS:g} s")
            time.sleep(0.1)
        self._say(f"{self.name} has stopped")
        return RUNS

    def restart(self) -> int:
        self.stop()
        return self.start()

    def status(self) -> int:
        running = self._running()
        self._say(f"{self.name} runs, process {running}" if running else f"{self.name} does not run")
        return RUNS if running else RUNS_NOT

    def _running(self) -> int | None:
        """Return the process that runs, None if there is none."""
        try:
            with self._pid_file.open("a+", encoding="ascii") as lock:
                return None if file_lock.take(lock) else _pid(lock)
        except FileNotFoundError:
            return None


def _pid(lock: IO[str]) -> int:
    lock.seek(0)
    return int(lock.read().strip() or 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out a command of a start script, and return the exit code."""
    parser = CommandParser(prog="push-NAME", description="Run a service of this package.")
    parser.add_argument("folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("command", choices=("start", "stop", "restart", "status"))
    args = parser.parse_args(argv)
    try:
        service = PackagedService(args.folder)
        work: Callable[[], int] = getattr(service, args.command)
        return work()
    except (ServiceProblem, config.ConfigError, SettingsError, OSError) as error:
        print(error, file=sys.stderr)
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
