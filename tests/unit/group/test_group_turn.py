"""Where calls may be relayed, and with what credentials."""

import base64
import hashlib
import hmac

import pytest
from pydantic import ValidationError

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from fsharechat.settings_schema import TurnSettings
from roles.group.turn import credentials
from tests.unit.group.group_kit import Office

URL = "turn:turn.example.org:3478"
NOW = 1_700_000_000_999


def test_with_a_secret_credentials_are_the_users_own_and_end() -> None:
    found = credentials(TurnSettings(urls=(URL,), secret="s3cret", ttl_seconds=600), "飞享", NOW)
    assert (list(found.url), found.username, found.ttl) == ([URL], "1700000600:飞享", 600)
    digest = hmac.new(b"s3cret", found.username.encode(), hashlib.sha1).digest()
    assert base64.b64decode(found.credential) == digest


def test_with_a_user_everybody_has_the_same() -> None:
    settings = TurnSettings(urls=(URL, "stun:stun.example.org"), user="all", password="p")
    for uid in ("ann", "ben"):
        found = credentials(settings, uid, NOW)
        assert found == pb.TurnResult(url=settings.urls, username="all", credential="p", ttl=0)


async def test_without_servers_there_are_none(office: Office) -> None:
    ann = await office.user()
    payload = await office.payload(ann, SubSignal.TURN, pb.Version(version=0))
    assert pb.TurnResult.FromString(payload) == pb.TurnResult(username="", credential="", ttl=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"urls": ["http://turn.example.org"], "secret": "s"},
        {"urls": ["turn:"], "secret": "s"},
        {"urls": ["turn:host?transport=sctp"], "secret": "s"},
        {"urls": ["turn:user@host"], "secret": "s"},
        {"urls": [URL]},
        {"urls": [URL], "user": "all"},
        {"urls": [URL], "password": "p"},
        {"urls": [URL], "secret": "s", "user": "all", "password": "p"},
        {"ttl_seconds": 59},
    ],
    ids=str,
)
def test_settings_that_no_client_could_use_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TurnSettings.model_validate(wrong)


@pytest.mark.parametrize(
    "url", [URL, "turn:[2001:db8::1]:3478?transport=tcp", "turns:host:5349?transport=tcp", "stun:host"]
)
def test_urls_of_every_kind(url: str) -> None:
    assert TurnSettings(urls=(url,), secret="s").urls == (url,)
