"""Wrong keys for the back office. They are counted here, so that all api processes count together."""

from fsharechat.rpc import Call
from fsharechat.store import address_limits
from fsharechat.store.address_limits import AddressLimit, Counted
from fsharechat.store.store import Store
from roles.group.admin import OfficeRequest, Operations
from roles.group.clock import ServerClock

WRONG_KEYS = AddressLimit(10, 60_000)
"""How many of one address are answered normally. Further ones are refused, and not logged."""


async def count_wrong_key(store: Store, clock: ServerClock, _: Call, request: OfficeRequest) -> object:
    """Count a wrong key of an address. `waitMs` is the time until the next one is allowed, or 0."""
    wait_ms = await store.write(
        address_limits.take, Counted.WRONG_KEYS, request["address"], clock.now(), WRONG_KEYS
    )
    return {"waitMs": wait_ms}


OPERATIONS: Operations = {
    "keys.wrong": count_wrong_key,
}
