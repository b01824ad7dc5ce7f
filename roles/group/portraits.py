"""Portraits for groups without one: composed in the background, kept as media, and then set.

Users name the addresses of their own portraits. Only files that this deployment keeps are fetched: else users could
make the server fetch any address.
"""

import asyncio
from collections.abc import Callable, Iterable
from hashlib import sha256

import aiohttp
import structlog
from yarl import URL

from fsharechat.blobs import BUCKETS, Blobs, BlobsError
from fsharechat.errors import StoreError
from fsharechat.http import read_up_to
from fsharechat.protocol.signals import MediaType
from fsharechat.store import groups
from fsharechat.store.groups import Look
from fsharechat.store.store import Store
from fsharechat.tasks import spawn
from roles.group.drawing import FACES, Drawing, DrawingError, Face

log = structlog.get_logger(__name__)

MAX_WAITING = 1000
"""How many groups may wait for a portrait. Others keep theirs until their members change again."""

MAX_BYTES = 2 << 20
FETCH_SECONDS = 5.0
GROUP_SECONDS = 30.0
FIRST_SECONDS = 1.0
"""How long a new group waits for its portrait, s. A slower one is set later."""

_BUCKET = "/" + BUCKETS[MediaType.PORTRAIT]


class Portraits:
    """Composes one group's portrait after the other, from those of its first members. A client's own is kept."""

    def __init__(
        self, store: Store, blobs: Blobs, changed: Callable[[str], None], now: Callable[[], int]
    ) -> None:
        """`changed` tells all processes that a group has changed, `now` is the time in ms."""
        self._store = store
        self._blobs = blobs
        self._changed = changed
        self._now = now
        self._waiting: dict[str, None] = {}
        self._turn = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._drawing = Drawing()

    async def first(self, group_id: str, uids: Iterable[str]) -> str:
        """Return the portrait of a group that these users are about to make, "" if it is not ready in time."""
        try:
            async with asyncio.timeout(FIRST_SECONDS), self._turn, _http() as http:
                look = Look("", await self._store.read(groups.faces_of, uids, FACES))
                return await self._composed(group_id, look, http)
        except (StoreError, BlobsError, DrawingError, TimeoutError) as error:
            log.info("no portrait for a new group yet", group=group_id, error=str(error))
        except Exception:
            log.exception("no portrait for a new group yet", group=group_id)
        return ""

    def want(self, group_id: str) -> None:
        """Check a group soon: its portrait may be missing, or may show members who have changed."""
        if group_id not in self._waiting and len(self._waiting) >= MAX_WAITING:
            log.warning("too many portraits wait", group=group_id)
            return
        self._waiting[group_id] = None
        if self._work is None:
            self._work = spawn("portraits", self._work_off())

    async def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))

    async def _work_off(self) -> None:
        async with _http() as http:
            while self._waiting:
                id = next(iter(self._waiting))
                del self._waiting[id]
                try:
                    async with asyncio.timeout(GROUP_SECONDS), self._turn:
                        await self._renew(id, http)
                except (StoreError, BlobsError, DrawingError, TimeoutError) as error:
                    log.warning("no portrait for a group", group=id, error=str(error))
                except Exception:
                    log.exception("no portrait for a group", group=id)
        self._work = None
        if self._waiting:  # groups that came while the connections were closed
            self.want(next(iter(self._waiting)))

    async def _renew(self, id: str, http: aiohttp.ClientSession) -> None:
        look = await self._store.read(groups.look, id, FACES)
        if look is None or not _is_ours(id, look.portrait):
            return
        if look.portrait.endswith("/" + _key(id, look)):
            return
        address = await self._composed(id, look, http)
        if await self._store.write(groups.set_portrait, id, look.portrait, address, self._now()):
            self._changed(id)
        else:
            self.want(id)  # another process, or a client, was faster

    async def _composed(self, id: str, look: Look, http: aiohttp.ClientSession) -> str:
        """Make the portrait of these faces. Return its address."""
        root = URL(self._blobs.bucket_url(MediaType.PORTRAIT).removesuffix(_BUCKET))
        pictures = await asyncio.gather(*[_fetch(http, root, face.portrait) for face in look.faces])
        faces = [Face(face.uid, face.name, found) for face, found in zip(look.faces, pictures, strict=True)]
        data = await self._drawing.compose(faces)
        return await self._blobs.put(MediaType.PORTRAIT, _key(id, look), data, "image/jpeg")


def _is_ours(id: str, portrait: str) -> bool:
    """Return whether a group has no portrait, or one that was composed here."""
    bucket, _, key = portrait.rpartition("/")  # a user's file would have a folder between
    return not portrait or (bucket.endswith(_BUCKET) and key.startswith(_name(id)))


def _name(id: str) -> str:
    return f"mosaic-{sha256(id.encode()).hexdigest()[:16]}-"


def _key(id: str, look: Look) -> str:
    """Return the key of the portrait of these faces. Other faces have another key, since devices keep old files."""
    return f"{_name(id)}{sha256(repr(look.faces).encode()).hexdigest()[:24]}.jpg"


def _http() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    return aiohttp.ClientSession(timeout=timeout, auto_decompress=False)


async def _fetch(http: aiohttp.ClientSession, root: URL, address: str) -> bytes | None:
    """Return the file at an address, if it is ours and small enough, else None."""
    url = _own(root, address)
    if url is None:
        return None
    try:
        async with http.get(url, allow_redirects=False) as answer:
            if answer.status != 200 or "Content-Encoding" in answer.headers:
                return None
            return await read_up_to(answer, MAX_BYTES)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        log.info("a portrait cannot be fetched", address=address, error=str(error) or type(error).__name__)
        return None


def _own(root: URL, address: str) -> URL | None:
    """Return the URL of an address, if it leads to a file in one of the buckets below `root`."""
    try:
        url = URL(address)  # it resolves "." and ".." in its path
        if url.origin() != root.origin() or url.user or url.password:
            return None
    except ValueError:
        return None
    start = root.path.rstrip("/")
    inside = any(url.path.startswith(f"{start}/{bucket}/") for bucket in BUCKETS.values())
    return url.with_query(None).with_fragment(None) if inside and ".." not in url.path.split("/") else None
