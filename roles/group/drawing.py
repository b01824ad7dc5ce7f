"""Composes group portraits in a separate process, which can be killed: users may upload anything.

A decoder cannot be interrupted: in a thread it would even delay the end of this process. So a new process composes
each portrait (mosaic.py; it starts in 0.1 s). It has limits of processor time and memory, and the lowest priority. It
ends with this process, however this process ends. Where the system has no such limits, it is killed after a time.
"""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson
import structlog

from fsharechat.process import IN_BACKGROUND, LIMITS_PROGRAMS

log = structlog.get_logger(__name__)

FACES = 9
"""How many members a portrait shows."""

MAX_LEFT_OUT = 3
"""How many pictures of one portrait may be too costly. Then no further picture is tried for it."""

MAX_REMEMBERED = 10_000
"""How many costly pictures are remembered. They are not tried again."""

SECONDS_WITHOUT_LIMITS = 30.0
"""How long a process may take that has no limit of processor time, s."""

_PROGRAM = Path(__file__).with_name("mosaic.py")
_LINE = 300


class Face(NamedTuple):
    """A member: `picture` is the file of the portrait, None when there is none."""

    uid: str
    name: str
    picture: bytes | None


class DrawingError(Exception):
    """No portrait was composed; the text says why."""


class Drawing:
    """Composes portraits, and remembers pictures that are too costly."""

    def __init__(self) -> None:
        self._too_much: dict[bytes, None] = {}

    async def compose(self, given: Sequence[Face]) -> bytes:
        """Return a JPEG of faces. A face whose picture is too costly is drawn without it. Raises DrawingError."""
        faces = [
            face._replace(picture=None) if self._is_too_much(face.picture) else face for face in given[:FACES]
        ]
        for left_out in range(1, MAX_LEFT_OUT + 2):
            code, out, errors = await _run(faces)
            if code == 0:
                return out[len(faces) :]
            at = len(out)
            if code > 0 or at >= len(faces) or left_out > MAX_LEFT_OUT:
                raise DrawingError(f"exit code {code}: {errors.decode(errors='replace').strip()[-_LINE:]}")
            log.warning("portrait left out: too much work to decode", uid=faces[at].uid, signal=-code)
            self._remember(faces[at].picture)
            until = len(faces) if left_out == MAX_LEFT_OUT else at + 1
            faces[at:until] = [face._replace(picture=None) for face in faces[at:until]]
        raise AssertionError("the last turn of the loop returns or raises")

    def _is_too_much(self, picture: bytes | None) -> bool:
        return picture is not None and sha256(picture).digest() in self._too_much

    def _remember(self, picture: bytes | None) -> None:
        if picture is not None:
            self._too_much[sha256(picture).digest()] = None
            if len(self._too_much) > MAX_REMEMBERED:
                del self._too_much[next(iter(self._too_much))]


class _Run:
    """A process that composes one portrait. A thread starts it and waits for it.

    The event loop itself would stand still while it starts a process: 15 ms in a process of 200 MB.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False

    def work(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Return the exit code, the standard output and the standard error. Raises OSError.

        The exit code of a process that took too long is the number of a signal, less than 0, on every system.
        """
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",  # it imports nothing of this package: that would take longer than its work
                str(_PROGRAM),
                str(os.getpid()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C ends this process, and this process ends the other one
            creationflags=IN_BACKGROUND,
        )
        with self._lock:
            self._process = process
            if self._unwanted:
                process.kill()
        try:
            out, errors = process.communicate(data, None if LIMITS_PROGRAMS else SECONDS_WITHOUT_LIMITS)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            return -signal.SIGTERM, out, errors
        return process.returncode, out, errors

    def end(self) -> None:
        """End the process, even one that has not started yet."""
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()


async def _run(faces: Sequence[Face]) -> tuple[int, bytes, bytes]:
    """Return the exit code of the process, its output (a byte for each finished face, then the picture), and its
    errors.

    Raises DrawingError if no process can be started.
    """
    head = orjson.dumps(
        [(face.uid, face.name, len(face.picture) if face.picture is not None else None) for face in faces]
    )
    pictures = [face.picture for face in faces if face.picture]
    run = _Run()
    done = asyncio.get_running_loop().run_in_executor(None, run.work, b"".join((head, b"\n", *pictures)))
    try:
        return await asyncio.shield(done)
    except OSError as error:
        raise DrawingError(f"no process to compose it: {error.strerror}") from error
    except asyncio.CancelledError:
        run.end()
        await asyncio.wait([done])
        done.exception()  # retrieved: else the loop would complain
        raise
