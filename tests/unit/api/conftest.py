"""A whole process on free ports, and an HTTP client."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from fsharechat import settings as s
from fsharechat.node import Node
from roles.api import waits
from roles.group.service import Group
from tests.unit.api.api_kit import KEY, Site


@pytest.fixture
def codes() -> s.Codes:
    """Return the settings of login codes; modules that want a super code override this."""
    return s.Codes()


@pytest.fixture
def key() -> str:
    """Return the key of the back office; modules that want none override this."""
    return KEY


@pytest.fixture
def registration() -> s.Registration:
    """Return who may become a user; modules that want fewer than everybody override this."""
    return s.Registration()


@pytest.fixture
async def site(
    tmp_path: Path,
    sqlite_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    codes: s.Codes,
    key: str,
    registration: s.Registration,
) -> AsyncIterator[Site]:
    sqlite_file("data/fsharechat.db")
    settings = s.Settings(
        node=s.Node(data=tmp_path / "data"),
        connector=s.Connector(tcp_port=0, ws_port=0),
        api=s.Api(port=0, key=key, cors_origins=("https://chat.example", "https://other.example")),
        codes=codes,
        registration=registration,
    )
    with capture_logs() as logs:
        async with Node(settings) as node, ClientSession(node.addresses["http"]) as http:
            opened = Site(node, http, logs)
            monkeypatch.setattr(Group, "now", staticmethod(lambda: opened.now))
            monkeypatch.setattr(waits, "monotonic", lambda: opened.now / 1000)
            yield opened
