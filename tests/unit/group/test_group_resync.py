"""A group process that never heard a connector begin asks it where its devices are, until it hears it."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fsharechat.bus import Event, Presence, Resync
from fsharechat.node import Node
from fsharechat.settings import Settings
from roles.group import presence
from tests.unit.group.group_kit import Office
from tools.testing.server import until

KNOWN, UNKNOWN = 4, 9


@pytest.fixture
async def office(
    tmp_path: Path, sqlite_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Office]:
    monkeypatch.setattr(presence, "RESYNC_SECONDS", 0.02)
    sqlite_file("data/fsharechat.db")
    node = Node(Settings.model_validate({"node": {"roles": ["group"], "data": tmp_path / "data"}}))
    async with node:
        yield Office(node)


async def test_it_asks_until_it_hears(office: Office) -> None:
    bus = office.node.bus
    asked: dict[int, list[Event]] = {KNOWN: [], UNKNOWN: []}
    for node, heard in asked.items():
        await bus.serve_node(node, heard.extend)
    bus.announce(Presence("", "", KNOWN, 1))
    for node in asked:
        await office.node.registry.lease("connector", node, f"connector {node}")
    await until(lambda: len(asked[UNKNOWN]) > 2, "it does not ask")
    assert set(asked[UNKNOWN]) == {Resync()}
    assert asked[KNOWN] == []
    bus.announce(Presence("", "", UNKNOWN, 1))
    asked[UNKNOWN].clear()
    answered = Presence("", "", KNOWN + 1, 1)
    await office.node.registry.lease("connector", KNOWN + 1, "one more")
    more: list[Event] = []
    await bus.serve_node(KNOWN + 1, more.extend)
    await until(lambda: len(more) > 2, "it asks no more")  # three rounds later
    bus.announce(answered)
    assert asked == {KNOWN: [], UNKNOWN: []}
