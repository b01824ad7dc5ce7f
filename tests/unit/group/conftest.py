"""A group role on a store of its own, without connectors."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fsharechat.node import Node
from fsharechat.settings import Codes, Settings, Users
from fsharechat.settings import Node as NodeSettings
from roles.group import GroupRole
from roles.group.service import Group
from tests.unit.group.group_kit import Office


@pytest.fixture
def directory() -> str:
    """Return `[users] directory`; tests that want another one override this."""
    return "exact"


@pytest.fixture
def role() -> GroupRole:
    """The role that the office has."""
    return GroupRole()


@pytest.fixture
async def office(
    tmp_path: Path,
    sqlite_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    directory: str,
    role: GroupRole,
) -> AsyncIterator[Office]:
    sqlite_file("data/fsharechat.db")
    settings = Settings(
        node=NodeSettings(data=tmp_path / "data"),
        codes=Codes(super_code=""),
        users=Users.model_validate({"directory": directory}),
    )
    node = Node(settings)
    backends = (node.store, node.registry, node.bus, node.rpc)
    for backend in backends:
        await backend.open()
    await role.start(node)
    opened = Office(node)
    monkeypatch.setattr(Group, "now", staticmethod(lambda: opened.now))
    await opened.listen()
    yield opened
    await role.stop()
    for backend in reversed(backends):
        await backend.close()
