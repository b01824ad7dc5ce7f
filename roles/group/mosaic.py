"""Group portraits: up to nine members' portraits in one picture, by Pillow. It takes its time: not on the loop."""

import io
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

FACES = 9
SIZE = 240
"""Pixels of a side of the picture."""

MAX_PIXELS = 4_000_000
"""A picture with more is not unpacked: a few bytes may stand for gigabytes of one colour."""

MAX_JPEG_PIXELS = 16_000_000
"""Of a JPEG, which is unpacked at an eighth of its size."""

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_GAP = 6
_BACKGROUND = (222, 224, 228)
_COLOURS = ((87, 136, 201), (92, 160, 122), (199, 122, 90), (150, 112, 186), (191, 96, 132), (96, 150, 164))


class Face(NamedTuple):
    """A member: `picture` is the file of the portrait, None when there is none."""

    uid: str
    name: str
    picture: bytes | None


def compose(faces: Sequence[Face]) -> bytes:
    """Return a JPEG of the first FACES of `faces`: the same bytes for the same faces."""
    faces = faces[:FACES]
    picture = Image.new("RGB", (SIZE, SIZE), _BACKGROUND)
    columns = 1 if len(faces) <= 1 else 2 if len(faces) <= 4 else 3
    side = (SIZE - _GAP * (columns + 1)) // columns
    rows = [faces[start : start + columns] for start in range(0, len(faces), columns)]
    top = (SIZE - len(rows) * (side + _GAP) + _GAP) // 2
    for row in rows:
        left = (SIZE - len(row) * (side + _GAP) + _GAP) // 2
        for face in row:
            picture.paste(_tile(face, side), (left, top))
            left += side + _GAP
        top += side + _GAP
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=88, subsampling=0)
    return out.getvalue()


def _tile(face: Face, side: int) -> Image.Image:
    if face.picture is not None:
        with suppress(Exception):  # what users upload may be anything, and decoders fail in every way
            return _portrait(face.picture, side)
    return _initial(face, side)


def _portrait(data: bytes, side: int) -> Image.Image:
    """Return the middle of a picture. Raises whatever its decoder does."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > (MAX_JPEG_PIXELS if image.format == "JPEG" else MAX_PIXELS):
            raise ValueError("too many pixels")
        image.draft("RGB", (side, side))
        square = ImageOps.fit(ImageOps.exif_transpose(image).convert("RGBA"), (side, side))
        tile = Image.new("RGB", (side, side), "white")
        tile.paste(square, mask=square)
        return tile


def _initial(face: Face, side: int) -> Image.Image:
    """Return a tile of the user's own colour with the first letter of the name.

    The font that is always there knows Latin letters only; for others there is the outline of a person.
    """
    colour = _COLOURS[sha256(face.uid.encode()).digest()[0] % len(_COLOURS)]
    tile = Image.new("RGB", (side, side), colour)
    draw = ImageDraw.Draw(tile)
    letter = face.name.strip()[:1].upper()
    if letter.isascii() and letter.isalnum():
        font = ImageFont.load_default(side * 0.55)
        draw.text((side / 2, side / 2), letter, "white", font, anchor="mm")
    else:
        middle = side / 2
        draw.ellipse((middle - side * 0.17, side * 0.2, middle + side * 0.17, side * 0.54), "white")
        draw.ellipse((middle - side * 0.32, side * 0.62, middle + side * 0.32, side * 1.3), "white")
    return tile
