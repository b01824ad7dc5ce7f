"""How many connections a connector takes."""

from typing import Any, cast

from fsharechat.registry.memory import MemoryLease, MemoryRegistry
from fsharechat.settings import Settings
from roles.connector.hub import Hub


def make_hub(open_files: int, **connector: int) -> Hub:
    nothing = cast(Any, None)
    lease = MemoryLease(MemoryRegistry(), "connector", 1)
    return Hub(Settings.model_validate({"connector": connector}), lease, nothing, nothing, open_files)


async def test_no_more_connections_than_files_may_be_open() -> None:
    hub = make_hub(1024)
    assert hub.admission.most < 1024
    assert hub.admission.most_strangers <= hub.admission.most // 2


async def test_the_settings_count_where_there_are_files_enough() -> None:
    hub = make_hub(1_000_000, max_connections=5000, max_unauthenticated=70)
    assert (hub.admission.most, hub.admission.most_strangers) == (5000, 70)
