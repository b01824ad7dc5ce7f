"""Has portraits of groups composed in a process of its own, which can be killed: what users upload may be anything.

A decoder cannot be interrupted: in a thread it would outlive even the end of this process. So a fresh process
composes each portrait (mosaic.py, which takes 0.1 s to start), under limits of processor time and memory, with the
lowest priority. It ends with this process, however that ends.
"""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import orjson
import structlog

log = structlog.get_logger(__name__)

FACES = 9
"""Members that a portrait shows."""

MAX_LEFT_OUT = 3
"""Pictures that may be too much for one portrait; beyond, no other is tried for it."""

MAX_REMEMBERED = 10_000
"""Pictures that were too much, and are not tried again."""

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
    """Composes portraits, and remembers pictures that are too much."""

    def __init__(self) -> None:
        self._too_much: dict[bytes, None] = {}

    async def compose(self, given: Sequence[Face]) -> bytes:
        """Return a JPEG of faces. One whose picture is too much is shown without it. Raises DrawingError."""
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
    """A process that composes one portrait. It is begun and awaited in a thread of its own.

    The event loop's own way to begin one forks, and stands still meanwhile: 15 ms in a process of 200 MB.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False

    def work(self, data: bytes) -> tuple[int, bytes, bytes]:
        """Return the exit code and what was written, to the standard output and as errors. Raises OSError."""
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",  # of this package it imports nothing: that would take longer than its work
                str(_PROGRAM),
                str(os.getpid()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process, which then ends it
        )
        with self._lock:
            self._process = process
            if self._unwanted:
                process.kill()
        out, errors = process.communicate(data)
        return process.returncode, out, errors

    def end(self) -> None:
        """End the process, also one that is not there yet."""
        with self._lock:
            self._unwanted = True
            if self._process is not None:
                self._process.kill()


async def _run(faces: Sequence[Face]) -> tuple[int, bytes, bytes]:
    """Return the exit code of the process, a byte for each face that was done and the picture, and its errors.

    Raises DrawingError where there is no process.
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
        done.exception()  # looked at: the loop complains of what nobody asked for
        raise
