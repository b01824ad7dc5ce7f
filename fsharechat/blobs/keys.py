"""Which object a key stands for.

A client makes a media's address as `domain` + "/" + key, with the file's name in the key as its user wrote it. An
HTTP client makes a path of that: "\\" becomes "/", "../" takes a segment away, "?" and "#" end it, "%41" is an "A".
So the object has the name that is left then; where that is not the key itself, it is in a folder that belongs to this
key alone, far enough down for all of its "../".

All of that is in a folder of who uploads it, which the domain leads to: so whoever knows a key, as everybody does who
got the file, gets no url for another's file. The server's own files are in no user's folder, and neither are those of
earlier versions, which had no such folders.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from fsharechat.blobs import KeyRefused
from fsharechat.protocol.signals import MediaType

MAX_NAME = 1024
"""Bytes of an object's name, in S3 as in the directory."""

MAX_KEY = 4096
"""Characters of a key: a name may be percent-encoded, and have "./" and "../" in it that come to nothing."""

OWN_FOLDER = "~"
"""What the folder of one key begins with."""

UPLOADER_FOLDER = "~u"
"""What the folder of one uploader begins with; in the name of one key's folder, hexadecimal digits follow."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PICTURES_AND_SOUND = frozenset([MediaType.IMAGE, MediaType.VOICE, MediaType.VIDEO, MediaType.PORTRAIT])
_PAGES = frozenset(["css", "htm", "html", "js", "mht", "mhtml", "mjs", "shtml", "xht", "xhtml", "xml", "xsl"])


class Place(NamedTuple):
    folder: str
    """What the domain has after the bucket: nothing, or "/" and a path."""
    name: str
    """The object's name in the bucket."""


class Uploaders:
    """Knows the folder of each user.

    Who reads an address sees the folder. It is a keyed hash, so that it neither tells the uid nor lets anybody who
    guesses a uid find out whether they are right.
    """

    def __init__(self, key: Callable[[], Awaitable[bytes]]) -> None:
        """`key` is what all processes of a deployment hash with, and always the same."""
        self._agreed_key = key
        self._key: bytes | None = None

    async def folder(self, uid: str) -> str:
        """Return the folder of a user, the same for ever."""
        if self._key is None:
            self._key = await self._agreed_key()
        return UPLOADER_FOLDER + hmac.digest(self._key, uid.encode(), "sha256").hex()[:32]


def uploader_of(name: str) -> str:
    """Return the folder of the uploader that an object's name is in; "" where it is in none."""
    folder = name.partition("/")[0]
    return folder if folder.startswith(UPLOADER_FOLDER) else ""


def place(kind: MediaType, key: str, uploader: str = "") -> Place:
    """Return where a key's object is; no two keys share one, and no two uploaders.

    `uploader` is the folder of who uploads it, nothing for the server itself. Raises KeyRefused for a key that no
    address leads to.

    Those are empty or too long, have control characters or empty segments, or end in "/", ".." or ".". And a page or
    a script is no picture, sound or video.
    """
    if len(key) > MAX_KEY:
        raise KeyRefused("too long")
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
    if uploader:
        folder, name = f"/{uploader}{folder}", f"{uploader}/{name}"
    if len(name.encode()) > MAX_NAME:
        raise KeyRefused("too long")
    if kind in _PICTURES_AND_SOUND and PurePosixPath(name).suffix.lower()[1:] in _PAGES:
        raise KeyRefused("a page")
    return Place(folder, name)


def identity(name: str) -> str:
    """Return what tells an object from all others, however the address that its name is from was written.

    In the folder of one key there is one object.
    """
    first, _, rest = name.partition("/")
    if not first.startswith(UPLOADER_FOLDER):
        return first if first.startswith(OWN_FOLDER) else name
    return f"{first}/{rest.partition('/')[0]}" if rest.startswith(OWN_FOLDER) else name


def _decoded(segment: str) -> str:
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise KeyRefused("not UTF-8") from None
    if _CONTROL.search(text):
        raise KeyRefused("control character")
    return text
