"""The bodies that a connector reads itself."""

import pytest

from roles.connector import session
from roles.connector.session import MAX_PING_BYTES, ping_interval


def test_a_ping_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"interval":1000}'
    assert ping_interval(body.ljust(MAX_PING_BYTES)) == 1000
    monkeypatch.setattr(session, "orjson", None)
    assert ping_interval(body.ljust(MAX_PING_BYTES + 1)) is None
