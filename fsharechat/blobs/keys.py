"""The object for each key.

A client makes the address of a file as `domain` + "/" + key. The key has the file's name as its user wrote it. An
HTTP client makes a path from the address: "\\" becomes "/", "../" removes a segment, "?" and "#" end it, "%41" is an
"A". So the object has the name that is left after this. If that differs from the key, the object is in a folder of
this key alone, deep enough for all of its "../".

All this is in the folder of the uploader; the domain leads there. Everybody who got a file knows its key, but gets no
url to replace another user's file. The server's own files are in no user's folder, and neither are files of early
versions, which had no such folders.
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
"""The longest name of an object, bytes, in S3 and in the directory."""

MAX_KEY = 4096
"""The longest key, characters: a name may be percent-encoded, and may have "./" and "../" without effect."""

OWN_FOLDER = "~"
"""The beginning of the name of a key's folder."""

UPLOADER_FOLDER = "~u"
"""The beginning of the name of an uploader's folder. In the name of a key's folder, hexadecimal digits follow."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PICTURES_AND_SOUND = frozenset([MediaType.IMAGE, MediaType.VOICE, MediaType.VIDEO, MediaType.PORTRAIT])
_PAGES = frozenset(["css", "htm", "html", "js", "mht", "mhtml", "mjs", "shtml", "xht", "xhtml", "xml", "xsl"])


class Place(NamedTuple):
    folder: str
    """The part of the domain after the bucket: nothing, or "/" and a path."""
    name: str
    """The object's name in the bucket."""


class Uploaders:
    """Knows the folder of each user.

    Readers of an address see the folder. It is a keyed hash: it does not tell the uid, and nobody can test a guessed
    uid.
    """

    def __init__(self, key: Callable[[], Awaitable[bytes]]) -> None:
        """All processes of a deployment hash with `key`. It never changes."""
        self._agreed_key = key
        self._key: bytes | None = None

    async def folder(self, uid: str) -> str:
        """Return the folder of a user, the same for ever."""
        if self._key is None:
            self._key = await self._agreed_key()
        return UPLOADER_FOLDER + hmac.digest(self._key, uid.encode(), "sha256").hex()[:32]


def uploader_of(name: str) -> str:
    """Return the uploader's folder in an object's name, "" if it is in none."""
    folder = name.partition("/")[0]
    return folder if folder.startswith(UPLOADER_FOLDER) else ""


def place(kind: MediaType, key: str, uploader: str = "") -> Place:
    """Return the place of a key's object. Different keys and different uploaders have different objects.

    `uploader` is the folder of the uploader, "" for the server itself. Raises KeyRefused for a key that no address
    leads to.

    Such keys are empty or too long, have control characters or empty segments, or end in "/", ".." or ".". A page or
    a script is also refused as a picture, sound or video.
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
    """Return the identity of an object, which does not depend on how its address was written.

    A key's folder has only one object.
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
