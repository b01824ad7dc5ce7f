"""Which object a key stands for.

A client makes a media's address as `domain` + "/" + key, with the file's name in the key as its user wrote it. An
HTTP client makes a path of that: "\\" becomes "/", "../" takes a segment away, "?" and "#" end it, "%41" is an "A".
So the object has the name that is left then; where that is not the key itself, it is in a folder that belongs to this
key alone, far enough down for all of its "../".
"""

import hashlib
import re
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from fsharechat.blobs import KeyRefused
from fsharechat.protocol.signals import MediaType

MAX_NAME = 1024
"""Bytes of an object's name, in S3 as in the directory."""

OWN_FOLDER = "~"
"""What the folder of one key begins with."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PICTURES_AND_SOUND = frozenset([MediaType.IMAGE, MediaType.VOICE, MediaType.VIDEO, MediaType.PORTRAIT])
_PAGES = frozenset(["css", "htm", "html", "js", "mht", "mhtml", "mjs", "shtml", "xht", "xhtml", "xml", "xsl"])


class Place(NamedTuple):
    folder: str
    """What the domain has after the bucket: nothing, or "/" and a path."""
    name: str
    """The object's name in the bucket."""


def place(kind: MediaType, key: str) -> Place:
    """Return where a key's object is; no two keys share one. Raises KeyRefused for one that no address leads to.

    Those are empty or too long, have control characters or empty segments, or end in "/", ".." or ".". And a page or
    a script is no picture, sound or video.
    """
    path = re.split(r"[?#]", key.rstrip(" "), maxsplit=1)[0].replace("\\", "/")
    segments: list[str] = []
    above = 0
    segment = ""
    for segment in map(_decoded, path.split("/")):
        if segment == "..":
            if segments:
                segments.pop()
            else:
                above += 1
        elif segment != ".":
            segments.append(segment)
    name = "/".join(segments)
    if segment in (".", "..") or any(part in ("", ".", "..") for part in name.split("/")):
        raise KeyRefused("no file name")
    folder = ""
    if name != key or name.startswith(OWN_FOLDER):
        own = OWN_FOLDER + hashlib.sha256(key.encode()).hexdigest()[:32]
        folder, name = f"/{own}" + "/_" * above, f"{own}/{name}"
    if len(name.encode()) > MAX_NAME:
        raise KeyRefused("too long")
    if kind in _PICTURES_AND_SOUND and PurePosixPath(name).suffix.lower()[1:] in _PAGES:
        raise KeyRefused("a page")
    return Place(folder, name)


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise KeyRefused("not UTF-8") from None
    if _CONTROL.search(text):
        raise KeyRefused("control character")
    return text
