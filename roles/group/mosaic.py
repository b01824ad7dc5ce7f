"""Group portraits: up to nine members' portraits in one picture, by Pillow.

As a program it composes one portrait from the input that drawing.py writes. It imports nothing of this package.
"""

import ctypes
import io
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps

try:
    resource: Any = import_module("resource")
except ModuleNotFoundError:  # on Windows
    resource = None

SIZE = 240
"""The side of the picture, pixels."""

MAX_PIXELS = 4_000_000
"""A picture with more pixels is not decoded: a few bytes may stand for gigabytes of one colour."""

MAX_JPEG_PIXELS = 16_000_000
"""The same for a JPEG, which is decoded at an eighth of its size."""

FACE_SECONDS = 2
"""The processor time for one picture, s; the system counts whole seconds. A photograph takes 0.2 s."""

MAX_MEMORY = 512 << 20
"""The limit of address space, bytes. The program itself takes about 100 MiB."""

NICENESS = 19
"""All other processes go first."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_GAP = 6
_BACKGROUND = (222, 224, 228)
_COLOURS = ((87, 136, 201), (92, 160, 122), (199, 122, 90), (150, 112, 186), (191, 96, 132), (96, 150, 164))


Face = tuple[str, str, bytes | None]
"""The uid and the name of a member, and the file of the portrait, if there is one."""


def compose(
    faces: Sequence[Face], begins: Callable[[], None] = lambda: None, done: Callable[[], None] = lambda: None
) -> bytes:
    """Return a JPEG of up to nine faces: the same bytes for the same faces.

    `begins` and `done` are called before and after each face.
    """
    picture = Image.new("RGB", (SIZE, SIZE), _BACKGROUND)
    columns = 1 if len(faces) <= 1 else 2 if len(faces) <= 4 else 3
    side = (SIZE - _GAP * (columns + 1)) // columns
    rows = [faces[start : start + columns] for start in range(0, len(faces), columns)]
    top = (SIZE - len(rows) * (side + _GAP) + _GAP) // 2
    for row in rows:
        left = (SIZE - len(row) * (side + _GAP) + _GAP) // 2
        for face in row:
            begins()
            picture.paste(_tile(face, side), (left, top))
            done()
            left += side + _GAP
        top += side + _GAP
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88, subsampling=0)
    return out.getvalue()


def _tile(face: Face, side: int) -> Image.Image:
    uid, name, picture = face
    if picture is not None:
        with suppress(Exception):  # users may upload anything, and decoders fail in every way
            return _portrait(picture, side)
    return _initial(uid, name, side)


def _portrait(data: bytes, side: int) -> Image.Image:
    """Return the middle of a picture. Raises any error of its decoder."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > (MAX_JPEG_PIXELS if image.format == "JPEG" else MAX_PIXELS):
            raise ValueError("too many pixels")
        image.draft("RGB", (side, side))
        square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGBA"), (side, side))
        tile = Image.new("RGB", (side, side), "white")
        tile.paste(square, mask=square)
        return tile


def _initial(uid: str, name: str, side: int) -> Image.Image:
    """Return a tile of the user's own colour with the first letter of the name.

    The font that is always there has only Latin letters. For other letters the tile shows the outline of a person.
    """
    colour = _COLOURS[sha256(uid.encode()).digest()[0] % len(_COLOURS)]
    tile = Image.new("RGB", (side, side), colour)
    draw = ImageDraw.Draw(tile)
    letter = name.strip()[:1].upper()
    if letter.isascii() and letter.isalnum():
        font = ImageFont.load_default(side * 0.55)
        draw.text((side / 2, side / 2), letter, "white", font, anchor="mm")
    else:
        middle = side / 2
        draw.ellipse((middle - side * 0.17, side * 0.2, middle + side * 0.17, side * 0.54), "white")
        draw.ellipse((middle - side * 0.32, side * 0.62, middle + side * 0.32, side * 1.3), "white")
    return tile


def main() -> None:
    """Compose one portrait.

    Its argument is the id of its parent process. It reads a line of JSON, an array of [uid, name, size of the picture
    or null], and then the pictures. It writes a byte for each finished face, and then the JPEG. So if it is killed,
    the parent knows at which face.
    """
    _confine()
    head: list[tuple[str, str, int | None]] = json.loads(sys.stdin.buffer.readline())
    faces = [(uid, name, None if size is None else sys.stdin.buffer.read(size)) for uid, name, size in head]
    out = sys.stdout.buffer

    def done() -> None:
        out.write(b".")
        out.flush()

    out.write(compose(faces, _allow_a_face, done))


def _confine() -> None:
    """Limit what this process may use. Where the system has no such limits, the parent's clock alone limits it."""
    if resource is None or not hasattr(os, "nice"):
        return
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: end with the parent
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone")
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    except ValueError:  # macOS does not limit it
        if sys.platform == "linux":
            raise


def _allow_a_face() -> None:
    """End this process, by SIGXCPU, when the next face takes more than FACE_SECONDS."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + FACE_SECONDS, hard))


if __name__ == "__main__":
    main()
