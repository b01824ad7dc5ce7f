"""Fakes of the vendors, and a real mail server, for the senders of codes."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.codes.fake_vendors import FakeAliyun, FakeTencent


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def aliyun() -> AsyncIterator[FakeAliyun]:
    async with FakeAliyun() as vendor:
        yield vendor


@pytest.fixture
async def tencent() -> AsyncIterator[FakeTencent]:
    async with FakeTencent() as vendor:
        yield vendor
