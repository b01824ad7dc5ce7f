"""The content type of a file: only pictures, sound and video are shown, everything else is a download."""

from pathlib import PurePosixPath
from typing import NamedTuple

DOWNLOAD = "application/octet-stream"
HEAD_SIZE = 12
"""How many bytes at the beginning of a file decide its type."""

_BY_EXTENSION = {
    **dict.fromkeys(["jpg", "jpeg", "jfif"], "image/jpeg"),
    **dict.fromkeys(["png", "apng"], "image/png"),
    **dict.fromkeys(["tif", "tiff"], "image/tiff"),
    **{kind: f"image/{kind}" for kind in ("gif", "webp", "bmp", "avif", "heic", "heif")},
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "weba": "audio/webm",
    **{kind: f"audio/{kind}" for kind in ("aac", "amr", "flac", "ogg", "wav")},
    **dict.fromkeys(["mp4", "m4v"], "video/mp4"),
    **dict.fromkeys(["mpg", "mpeg"], "video/mpeg"),
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "ogv": "video/ogg",
    "webm": "video/webm",
}
_BY_HEAD = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftyp", "video/mp4"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (8, b"WAVE", "audio/wav"),
)


class ServedAs(NamedTuple):
    content_type: str
    inline: bool
    """Whether a browser may show it like a page."""


def by_name(name: str) -> ServedAs | None:
    """Return how a file is shown, None if its name does not tell."""
    extension = PurePosixPath(name).suffix.lower()[1:]
    if extension == "svg":  # in a page it shows like any picture, but alone it is a page with scripts
        return ServedAs("image/svg+xml", False)
    known = _BY_EXTENSION.get(extension)
    return ServedAs(known, True) if known else None


def by_head(head: bytes) -> ServedAs:
    """Return how a file that begins with `head` is shown."""
    for at, magic, content_type in _BY_HEAD:
        if head.startswith(magic, at):
            return ServedAs(content_type, True)
    return ServedAs(DOWNLOAD, False)
