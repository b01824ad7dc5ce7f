"""A process whose logins are with company accounts, and a provider that can be made to do wrong."""

from collections.abc import AsyncIterator

import pytest

from fsharechat import settings_schema as s
from tests.unit.api.api_kit import Site
from tests.unit.api.oidc.oidc_kit import PUBLIC, Browser
from tools.testing.fake_provider import CLIENT, SECRET, FakeProvider


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider.run() as running:
        yield running


@pytest.fixture
def more() -> dict[str, object]:
    """Return further settings of [oidc]; tests give others by parametrize."""
    return {}


@pytest.fixture
def company(provider: FakeProvider, more: dict[str, object]) -> s.OidcSettings:
    return s.OidcSettings(
        issuer=provider.issuer,
        client_id=CLIENT,
        client_secret=SECRET,
        public_url=PUBLIC,
        **more,
    )


@pytest.fixture
def browser(site: Site, provider: FakeProvider) -> Browser:
    return Browser(site, provider)
