"""Media: clients upload files, and everybody reads them (contract.md section 8, "Media types")."""

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

from fsharechat.protocol.signals import MediaType

BUCKETS = {
    MediaType.GENERAL: "minio-bucket-general-name",
    MediaType.IMAGE: "minio-bucket-image-name",
    MediaType.VOICE: "minio-bucket-voice-name",
    MediaType.VIDEO: "minio-bucket-video-name",
    MediaType.FILE: "minio-bucket-file-name",
    MediaType.PORTRAIT: "minio-bucket-portrait-name",
    MediaType.FAVORITE: "minio-bucket-favorite-name",
}
"""The bucket of each media type."""


class BlobsError(Exception):
    """The media store failed. The text is for the operator."""


class BlobsMisconfigured(BlobsError):
    """The media store will fail later too: waiting is of no use."""


class KeyRefused(ValueError):
    """No file can have this key in this bucket."""


class Upload(NamedTuple):
    """The place for a client's upload. After it, `domain` + "/" + key is the address of the file."""

    domain: str
    url: str
    """The URL for a PUT of the file, once or several times, until it expires."""
    server: str
    port: int
    """The host and port of both."""
    name: str = ""
    """The object's name, if only `Blobs.kept` tells what was uploaded; "" if the upload is counted when it comes."""


class StoredFile(NamedTuple):
    """An existing file: its size in bytes, and the time (ms) when it came."""

    size: int
    modified_ms: int


class Blobs(ABC):
    """Keeps files by media type, key and uploader. Reading needs no credentials; writing needs a signed url."""

    roles: ClassVar[frozenset[str]]
    """The roles whose processes must open it."""

    @abstractmethod
    async def look(self) -> str:
        """Check that it can be used, and change nothing. Return what is missing and will be made, or "".

        It need not be open. Close it afterwards. Raises BlobsError.
        """

    @abstractmethod
    async def open(self) -> None:
        """Make what is missing, and be ready. Raises BlobsError."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def bucket_url(self, kind: MediaType) -> str:
        """Return the beginning of the addresses of all files of a media type."""

    @abstractmethod
    async def upload_url(self, kind: MediaType, key: str, uid: str) -> Upload:
        """Return the place for the user `uid` to upload the file with `key`. It replaces an own file with this key.

        It never replaces another user's file. Raises KeyRefused, BlobsError and StoreError.
        """

    async def kept(self, kind: MediaType, name: str) -> StoredFile | None:
        """Return the file of an upload with a `name`, None if there is none. Raises BlobsError."""
        return None

    @abstractmethod
    async def put(self, kind: MediaType, key: str, data: bytes, content_type: str) -> str:
        """Keep a small file of the server itself. It replaces an earlier one with this key. Return its address.

        Raises KeyRefused and BlobsError.
        """


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and port of an http or https url."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
