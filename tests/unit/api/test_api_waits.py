"""Addresses that were refused are asked about again when their time has come, and not before."""

import pytest

from fsharechat.protocol.signals import LoginCode
from fsharechat.rpc import Call
from roles.api import addresses
from roles.api.addresses import Waits
from tests.unit.api.api_kit import NUMBER, Site

ANN, BOB = "192.0.2.1", "192.0.2.2"


def test_an_address_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(addresses, "monotonic", lambda: now)
    kept = Waits()
    kept.refuse(ANN, 2_500)
    kept.refuse(BOB, 0)
    assert (kept.seconds(ANN), kept.seconds(BOB), kept.seconds("")) == (2.5, 0, 0)
    now += 2
    assert kept.seconds(ANN) == 0.5
    now += 0.5
    assert (kept.seconds(ANN), len(kept)) == (0, 0)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "MAX_ADDRESSES", 2)
    kept = Waits()
    for address in (ANN, BOB, ANN, "192.0.2.3"):
        kept.refuse(address, 60_000)
    assert len(kept) == 2
    assert kept.seconds(BOB) == 0
    assert kept.seconds(ANN) > 0


async def test_who_is_refused_costs_the_store_nothing_until_then(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    call = site.node.rpc.call

    def counted(made: Call) -> object:
        nonlocal asked
        asked += 1
        return call(made)

    monkeypatch.setattr(site.node.rpc, "call", counted)
    headers = {"X-Forwarded-For": ANN}
    body = {"mobile": NUMBER, "code": "1", "clientId": "phone"}
    for _ in range(100):
        answer = await site.post("/login", body, **headers)
    assert (answer.code, asked) == (LoginCode.TOO_OFTEN, 61)
    site.now += 10_000
    for _ in range(100):
        answer = await site.post("/login", body, **headers)
    assert (answer.code, asked) == (LoginCode.TOO_OFTEN, 63)
    told = [line for line in site.logs if line["event"] == "an address has to wait"]
    assert [(line["log_level"], line["address"], line["path"]) for line in told] == [
        ("warning", ANN, "/login")
    ] * 2
