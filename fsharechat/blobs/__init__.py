"""Media: where clients put files and where everybody reads them (contract.md section 8, "Media types")."""

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
    """The media store did not do what it was asked; the text is for the operator."""


class BlobsMisconfigured(BlobsError):
    """The media store will not do it later either: waiting is no use."""


class KeyRefused(ValueError):
    """No file can have this key in this bucket."""


class Upload(NamedTuple):
    """Where a client puts a file. From then on `domain` + "/" + its key is the file's address."""

    domain: str
    url: str
    """Takes one PUT of the file, or several, until it expires."""
    server: str
    port: int
    """The host and port of both."""
    name: str = ""
    """The object's name where `Blobs.kept` alone tells what was put there; "" where it is counted as it comes."""


class StoredFile(NamedTuple):
    """A file that is there: its bytes, and when (ms) it came."""

    size: int
    modified_ms: int


class Blobs(ABC):
    """Keeps files by media type, key and uploader. Reading needs no credentials, writing a signed url."""

    roles: ClassVar[frozenset[str]]
    """The roles whose processes need it open."""

    @abstractmethod
    async def look(self) -> str:
        """Look whether it can be used, and change nothing. Return what is missing and will be made, or "".

        It need not be open, and is to be closed. Raises BlobsError.
        """

    @abstractmethod
    async def open(self) -> None:
        """Make what is missing, and be ready. Raises BlobsError."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    def bucket_url(self, kind: MediaType) -> str:
        """Return the address that those of all files of a media type begin with."""

    @abstractmethod
    async def upload_url(self, kind: MediaType, key: str, uid: str) -> Upload:
        """Return where the user `uid` is to put the file with `key`; one of theirs with this key is replaced.

        Another user's is not, whatever the key. Raises KeyRefused, BlobsError and StoreError.
        """

    async def kept(self, kind: MediaType, name: str) -> StoredFile | None:
        """Return what there is of an upload that has a `name`, None where nothing is. Raises BlobsError."""
        return None

    @abstractmethod
    async def put(self, kind: MediaType, key: str, data: bytes, content_type: str) -> str:
        """Keep a small file of the server's own and return its address; one of its own with this key is replaced.

        Raises KeyRefused and BlobsError.
        """


def host_and_port(url: str) -> tuple[str, int]:
    """Return where an http or https url leads."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
