"""Makes names searchable that a process of an older version, without the table `name_parts`, has changed."""

import asyncio

import structlog

from fsharechat.errors import StoreError
from fsharechat.store import users
from fsharechat.store.store import Store

log = structlog.get_logger(__name__)

LOOK_BACK_MS = 7 * 86_400_000
"""How far to look back. Users changed earlier were changed before the table was made, or beside newer processes."""

PAUSE_SECONDS = 0.05
"""The pause between steps, s: there is no hurry."""

RETRY_SECONDS = 5.0


async def mend(store: Store, now: int) -> None:
    """Check once all users who have changed in the last days. `now` is in ms.

    Each group process does this when it starts. In a rolling upgrade the last process starts after the last one of
    the earlier version has stopped. So it finds all names that those have left.
    """
    after, mended = "", 0
    while True:
        try:
            last, found = await store.read(users.without_parts, after, now - LOOK_BACK_MS)
            for uid in found:
                await store.write(users.mend_parts, uid)
        except StoreError as error:
            log.warning("store failed a request", method="name_parts", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            continue
        mended += len(found)
        if not last:
            break
        after = last
        await asyncio.sleep(PAUSE_SECONDS)
    if mended:
        log.info("names made searchable", users=mended)
