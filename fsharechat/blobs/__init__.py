"""Media: clients upload files, and everybody reads them (contract.md section 8, "Media types")."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
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


class FileGone(BlobsError):
    """There is no such file, or it was removed while it was read."""


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


PART_BYTES = 8 << 20
"""How much of a file goes up at a time, if it goes in parts."""

UNFINISHED_SECONDS = 86_400
"""How long a file that goes up in parts is waited for after its last part, s."""


class UploadPart(NamedTuple):
    """The next part of a file that goes up in parts: `length` bytes from `offset`, 0 if the file is whole."""

    upload: Upload
    offset: int
    length: int


class StoredFile(NamedTuple):
    """An existing file: its size in bytes, and the time (ms) when it came."""

    size: int
    modified_ms: int


class KeptFile(NamedTuple):
    """A file under the name that the media store keeps it by, its size in bytes, and the time (ms) when it came."""

    name: str
    size: int
    modified_ms: int


class Blobs(ABC):
    """Keeps files by media type, key and uploader. Reading needs no credentials; writing needs a signed url.

    Back-ups, exports and removals see files by the names under which they are kept. In a folder such a name is a
    hash, and on an S3 server it is the object's name. So names of one form mean nothing to the other.
    """

    roles: ClassVar[frozenset[str]]
    """The roles whose processes must open it."""
    form: ClassVar[str]
    """What gives files their kept names: "directory" or "s3"."""

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

    @abstractmethod
    async def is_begun(self, kind: MediaType, key: str, uid: str, size: int) -> bool:
        """Return whether a file of `size` bytes is here already, or on its way in parts.

        Raises KeyRefused, BlobsError and StoreError.
        """

    @abstractmethod
    async def next_part(self, kind: MediaType, key: str, uid: str, size: int) -> UploadPart:
        """Return the place for the next part of a file of `size` bytes, and begin the upload where it is not begun.

        A key and a size stand for one content. Another content needs another key. The file appears when it is
        whole, at the latest with the call that says so. Raises KeyRefused, BlobsError and StoreError.
        """

    @abstractmethod
    async def sweep(self) -> None:
        """Remove the parts of files that were not finished in UNFINISHED_SECONDS. Raises BlobsError."""

    async def kept(self, kind: MediaType, name: str) -> StoredFile | None:
        """Return the file of an upload with a `name`, None if there is none. Raises BlobsError."""
        return None

    @abstractmethod
    async def put(self, kind: MediaType, key: str, data: bytes, content_type: str) -> str:
        """Keep a small file of the server itself. It replaces an earlier one with this key. Return its address.

        Raises KeyRefused and BlobsError.
        """

    @abstractmethod
    async def folder_of(self, uid: str) -> str:
        """Return the folder of a user's files, the first part of the names of their objects. Raises StoreError."""

    @abstractmethod
    def kept_name(self, name: str) -> str:
        """Return the name under which an object is kept."""

    @abstractmethod
    def files(self, kind: MediaType) -> AsyncIterator[KeptFile]:
        """Yield all files of a media type in the order of their names, few in memory at a time. Raises BlobsError."""

    @abstractmethod
    def read(self, kind: MediaType, name: str) -> AsyncIterator[bytes]:
        """Yield the bytes of a file by its kept name, piece by piece. Raises BlobsError, and FileGone if there is
        none.
        """

    @abstractmethod
    async def bring_back(
        self, kind: MediaType, name: str, pieces: AsyncIterator[bytes], modified_ms: int
    ) -> None:
        """Keep a file by its kept name, with the time when it first came. It appears when it is whole.

        It does not appear if `pieces` fails. Raises BlobsError.
        """

    @abstractmethod
    async def remove(self, kind: MediaType, name: str) -> None:
        """Remove a file by its kept name. It may be gone already. Raises BlobsError."""


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host and port of an http or https url."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
