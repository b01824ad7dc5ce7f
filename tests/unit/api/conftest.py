"""A whole process on free ports, and an HTTP client."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from fsharechat import settings_schema as s
from fsharechat.node import Node
from roles.api import addresses, passwords
from roles.group.clock import ServerClock
from tests.unit.api.api_kit import KEY, Site


@pytest.fixture
def codes() -> s.CodesSettings:
    """Return the settings of login codes; modules that want a super code override this."""
    return s.CodesSettings()


@pytest.fixture
def key() -> str:
    """Return the key of the back office; modules that want none override this."""
    return KEY


@pytest.fixture
def registration() -> s.RegistrationSettings:
    """Return who may become a user; modules that want fewer than everybody override this."""
    return s.RegistrationSettings()


@pytest.fixture
def company() -> s.OidcSettings:
    """Return the settings of logins with company accounts; modules that want some override this."""
    return s.OidcSettings()


@pytest.fixture
async def site(
    tmp_path: Path,
    sqlite_file: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    codes: s.CodesSettings,
    key: str,
    registration: s.RegistrationSettings,
    company: s.OidcSettings,
) -> AsyncIterator[Site]:
    sqlite_file("data/fsharechat.db")
    settings = s.Settings(
        node=s.NodeSettings(data=tmp_path / "data"),
        connector=s.ConnectorSettings(tcp_port=0, ws_port=0),
        media=s.MediaSettings(listen="127.0.0.1:0"),
        api=s.ApiSettings(port=0, key=key, cors_origins=("https://chat.example", "https://other.example")),
        codes=codes,
        registration=registration,
        oidc=company,
    )
    with capture_logs() as logs:
        node = Node(settings)
        opened = Site(node, logs)
        monkeypatch.setattr(ServerClock, "now", staticmethod(lambda: opened.now))
        monkeypatch.setattr(passwords, "MEMORY_KIB", 64)
        monkeypatch.setattr(addresses, "monotonic", lambda: opened.now / 1000)
        async with node, ClientSession(node.addresses["http"]) as opened.http:
            yield opened
