"""The small picture in an image message (contract.md section 5: `data` of type 3)."""

import asyncio
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 200
QUALITY = 70
MAX_PIXELS = 200_000_000


class NotAPicture(ValueError):
    """The file is not a readable picture."""


async def thumbnail(source: Path | bytes) -> bytes:
    """Return a JPEG of at most 200 by 200 pixels, about 10 KB. Raises NotAPicture, and OSError for the file."""
    return await asyncio.to_thread(_thumbnail, source)


def _thumbnail(source: Path | bytes) -> bytes:
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise NotAPicture(f"a picture of {opened.width} by {opened.height} pixels is too large")
            opened.draft("RGB", (SIDE, SIDE))  # a JPEG is decoded at a part of its size
            picture = ImageOps.exif_transpose(opened)
            picture.thumbnail((SIDE, SIDE))
            if "A" in picture.getbands() or "transparency" in picture.info:
                clear = picture.convert("RGBA")
                picture = Image.new("RGB", clear.size, "white")
                picture.paste(clear, mask=clear.getchannel("A"))
            small = BytesIO()
            picture.convert("RGB").save(small, "JPEG", quality=QUALITY, optimize=True)
    except UnidentifiedImageError as error:
        raise NotAPicture("the file is not a picture") from error
    except (SyntaxError, ValueError, OSError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the file itself, not of its contents
        raise NotAPicture(f"the picture is damaged: {error}") from error
    return small.getvalue()
