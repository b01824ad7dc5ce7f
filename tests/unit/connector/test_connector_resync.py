"""A connector that is asked to say again where its devices are: all that holds, and nothing else."""

import pytest

from fsharechat.bus import Presence, Resync
from roles.connector import tables
from tests.unit.connector.connector_fakes import Connector, Make, turn
from tools.testing.server import until

DEVICES = 7


@pytest.fixture
async def connector(make: Make) -> Connector:
    connector = make()
    await connector.hub.start()
    return connector


async def test_all_devices_are_announced_again(connector: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLICE", 2)
    for n in range(DEVICES):
        await connector.device(f"user{n}")
    gone = await connector.device("gone")
    connector.accept()  # who has not logged in is nowhere
    gone.session.close()
    await turn()
    said = [one for one in connector.presences if one.online and one.uid != "gone"]
    assert [one.uid for one in said].count("") == 1, "the node has begun"
    connector.presences.clear()
    for _ in range(3):  # several group processes may ask
        connector.events(Resync())
    await until(lambda: len(connector.presences) == len(said), lambda: f"{connector.presences}")
    assert connector.presences[0] == said[0]
    assert set(connector.presences) == set(said)
    await turn(20)
    assert len(connector.presences) == len(said), "once for all who asked meanwhile"


async def test_a_device_that_leaves_meanwhile_is_not_announced(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "SLICE", 1)
    phones = [await connector.device(f"user{n}") for n in range(DEVICES)]
    connector.presences.clear()
    connector.events(Resync())
    await until(lambda: any(one.uid for one in connector.presences), "nothing is announced")
    for phone in phones:
        phone.session.close()
    await turn(20)
    last: dict[str, Presence] = {one.uid: one for one in connector.presences if one.uid}
    assert [one for one in last.values() if one.online] == []
