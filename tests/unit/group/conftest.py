"""A group role on a store of its own, without connectors."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fsharechat.node import Node
from fsharechat.settings import Settings
from fsharechat.settings_schema import (
    CodesSettings,
    NodeSettings,
    RobotsSettings,
    SessionsSettings,
    UsersSettings,
)
from roles.group import GroupRole
from roles.group.clock import ServerClock
from tests.unit.group.group_kit import HookSections, Office


@pytest.fixture
def directory() -> str:
    """Return `[users] directory`; tests that want another one override this."""
    return "exact"


@pytest.fixture
def session_days() -> int:
    """Return `[sessions] days`; tests of sessions that end override this."""
    return 0


@pytest.fixture
def robots() -> RobotsSettings:
    """Return `[robots]`; tests that want some override this."""
    return RobotsSettings()


@pytest.fixture
async def hooks() -> HookSections:
    """Return `[webhooks]` and `[before_send]`; tests of hooks override this."""
    return HookSections()


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
    robots: RobotsSettings,
    session_days: int,
    hooks: HookSections,
) -> AsyncIterator[Office]:
    sqlite_file("data/fsharechat.db")
    settings = Settings(
        node=NodeSettings(data=tmp_path / "data"),
        codes=CodesSettings(super_code=""),
        users=UsersSettings.model_validate({"directory": directory}),
        robots=robots,
        sessions=SessionsSettings(days=session_days),
        webhooks=hooks.webhooks,
        before_send=hooks.before_send,
    )
    node = Node(settings)
    backends = (node.store, node.registry, node.bus, node.rpc)
    for backend in backends:
        await backend.open()
    opened = Office(node)
    monkeypatch.setattr(ServerClock, "now", staticmethod(lambda: opened.now))
    await role.start(node)
    await opened.listen()
    yield opened
    await role.stop()
    for backend in reversed(backends):
        await backend.close()
