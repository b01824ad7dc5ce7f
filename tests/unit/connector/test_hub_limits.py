"""How many connections a connector takes."""

import socket
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from fsharechat import open_files
from fsharechat.registry.memory import MemoryLease, MemoryRegistry
from fsharechat.settings import Settings
from roles.connector.hub import Hub


def make_hub(open_files: int, **connector: object) -> Hub:
    nothing = cast(Any, None)
    lease = MemoryLease(MemoryRegistry(), "connector", 1)
    return Hub(Settings.model_validate({"connector": connector}), lease, nothing, nothing, open_files)


async def test_no_more_connections_than_files_may_be_open() -> None:
    hub = make_hub(1024)
    assert hub.admission.most < 1024
    assert hub.admission.most_strangers <= hub.admission.most // 2


@pytest.mark.parametrize(("limits_files", "says"), [(True, True), (False, False)])
async def test_who_has_no_limit_of_open_files_is_not_told_to_raise_it(
    limits_files: bool, says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_files, "LIMITS_FILES", limits_files)
    with capture_logs() as logs:
        make_hub(320)
    (line,) = logs
    assert (line["setting"], line["asked"], line["connections"]) == (
        "[connector] max_connections",
        100_000,
        192,
    )
    assert ("open files" in line["event"], "LimitNOFILE" in line.get("how", "")) == (says, says)


async def test_the_settings_count_where_there_are_files_enough() -> None:
    hub = make_hub(1_000_000, max_connections=5000, max_unauthenticated=70)
    assert (hub.admission.most, hub.admission.most_strangers) == (5000, 70)


async def test_an_address_has_its_share_unless_it_is_a_trusted_proxy() -> None:
    hub = make_hub(1_000_000, connections_per_address=2, trusted_proxies=("10.0.0.0/8",))
    with socket.socket() as unconnected:
        taken = [hub.admit(unconnected, ("192.0.2.1", 5)) is not None for _ in range(3)]
        assert taken == [True, True, False]
        assert hub.admit(unconnected, ("192.0.2.2", 5)) is not None
        assert None not in [hub.admit(unconnected, ("10.1.1.1", 5)) for _ in range(5)]
        assert None not in [hub.admit(unconnected, ("127.0.0.1", 5)) for _ in range(5)]
        hub.identity.suspended = True
        assert hub.admit(unconnected, ("192.0.2.3", 5)) is None
