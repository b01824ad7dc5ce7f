"""What a back-up says of itself.

`TIME.json` is the manifest. It is written last: without it there is no back-up of that time. `TIME.media` names the
media, a line for each. Media are kept by their SHA-256, so back-ups share those that have not changed.
"""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from fsharechat.backup import BackupError
from fsharechat.backup.vault import Vault, checked
from fsharechat.blobs import KeptFile
from fsharechat.protocol.signals import MediaType

FORMAT = 1

TIME = "%Y-%m-%dT%H%M%SZ"
"""The form of the name of a back-up: when it began, UTC."""

MAX_BYTES = 1 << 20
"""The largest manifest, bytes."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VaultFile(_Part):
    """A file of the vault: its name, its size in bytes, and its SHA-256."""

    name: str
    size: int
    sha256: str


class Manifest(_Part):
    """`form` is Blobs.form of the media, `revision` the last migration of the database, `level` its fence."""

    format: int
    made_by: str
    revision: str
    level: int
    database: VaultFile | None
    form: str
    media: VaultFile | None
    media_files: int
    media_bytes: int


class MediaLine(NamedTuple):
    """A file of media in a back-up."""

    kind: int
    name: str
    size: int
    modified_ms: int
    sha256: str

    @property
    def kept_as(self) -> str:
        """Its name in the vault."""
        return f"media/{self.sha256[:2]}/{self.sha256}"

    def is_still(self, kind: MediaType, file: KeptFile) -> bool:
        """Whether a file seems to be this one, unchanged."""
        return (self.kind, self.name, self.size, self.modified_ms) == (kind, *file)

    @property
    def place(self) -> tuple[int, bytes]:
        """Where it stands in the order of a list: names in the order of their bytes, as S3 lists them."""
        return self.kind, self.name.encode(errors="surrogatepass")


def name_of(now: datetime) -> str:
    return now.astimezone(UTC).strftime(TIME)


async def names(vault: Vault) -> list[str]:
    """Return the back-ups of a vault, the oldest first."""
    found = []
    for name in await vault.names():
        stem, _, ending = name.rpartition(".")
        try:
            datetime.strptime(stem, TIME)
        except ValueError:
            continue
        if ending == "json":
            found.append(stem)
    return sorted(found)


async def read(vault: Vault, name: str) -> Manifest:
    """Return a manifest. Raises BackupError."""
    text = b""
    async for piece in vault.read(f"{name}.json"):
        text += piece
        if len(text) > MAX_BYTES:
            break
    try:
        found = json.loads(text)
        if isinstance(found, dict) and found.get("format") != FORMAT:
            raise BackupError(
                f"{name}.json was made by fsharechat {found.get('made_by')}, in a form that this version does not "
                "know: restore with that version or a newer one"
            )
        return Manifest.model_validate(found)
    except (ValueError, ValidationError) as error:
        raise BackupError(f"{name}.json is damaged: {error}") from error


async def media(vault: Vault, list_of: VaultFile) -> AsyncIterator[MediaLine]:
    """Yield the media of a back-up, in their order. Raises BackupError."""
    rest = b""
    async for piece in checked(vault.read(list_of.name), list_of.name, list_of.size, list_of.sha256):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield MediaLine(*json.loads(line))


def line_of(line: MediaLine) -> bytes:
    return json.dumps(line).encode() + b"\n"
