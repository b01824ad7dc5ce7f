"""Names that a process of a version without the table `name_parts` has changed: they are made searchable."""

import asyncio

import structlog

from fsharechat.errors import StoreError
from fsharechat.store import users
from fsharechat.store.store import Store

log = structlog.get_logger(__name__)

LOOK_BACK_MS = 7 * 86_400_000
"""Who was changed earlier was so before the table was made, or beside processes that know it."""

PAUSE_SECONDS = 0.05
"""Between steps: there is no hurry."""

RETRY_SECONDS = 5.0


async def mend(store: Store, now: int) -> None:
    """Look once at all users who have changed lately; `now` is in ms.

    Each group process does so when it starts. In a rolling upgrade the last one that starts comes after the last of
    the earlier version has stopped, so it finds all that those have left.
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
