"""The media role: it listens where it is told, says where it is reached, and tells of its calls when it stops."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fsharechat.errors import StartError
from fsharechat.mediaserver import MediaServer
from fsharechat.node import Node
from fsharechat.settings import Settings
from roles.media import MediaRole
from roles.media.kurento import KurentoServer
from tests.unit.media.media_kit import ROOM, Call, Told, flows
from tools.testing.fake_kurento import FakeKurento
from tools.testing.server import until


def node(folder: Path, **media: Any) -> Node:
    return Node(
        Settings.model_validate({"node": {"data": folder}, "media": {"listen": "127.0.0.1:0", **media}})
    )


def server(of: Node, told: Told) -> MediaServer:
    assert of.make_media_server is not None
    return of.make_media_server(told)


@pytest.fixture
async def role(tmp_path: Path) -> AsyncIterator[tuple[MediaRole, Node]]:
    started, its = MediaRole(), node(tmp_path)
    await started.start(its)
    yield started, its
    await started.stop()


async def test_a_call_goes_through_it(role: tuple[MediaRole, Node]) -> None:
    started, its = role
    told = Told()
    call = Call(server(its, told))
    try:
        await call.join("anna", "ben")
        anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
        await flows(anna, ben)
        values = {family.name: family.samples[0].value for family in its.metrics.collect() if family.samples}
        assert values["fsharechat_media_rooms"] == 1
        assert values["fsharechat_media_participants"] == 2
        assert values["fsharechat_media_connections"] == 2
        assert values["fsharechat_media_packets_sent"] > 0
        assert not (await started._look()).reason
        await started.stop()
        assert told.closed == [(ROOM, "its media process stops")]
    finally:
        call.close()


async def test_a_call_goes_through_kurento(tmp_path: Path, fake: FakeKurento) -> None:
    started, its = MediaRole(), node(tmp_path, backend="kurento", kurento=[fake.url])
    await started.start(its)
    told = Told()
    call = Call(server(its, told), told)
    try:
        await until(lambda: isinstance(started._server, KurentoServer) and not started._server.away)
        await call.join("anna", "ben")
        anna, ben = await call.publish("anna"), await call.receive("ben", "anna")
        await flows(anna, ben)
        assert not (await started._look()).reason
        await fake.stop()
        await until(lambda: isinstance(started._server, KurentoServer) and started._server.away)
        assert "Kurento at" in (await started._look()).reason
    finally:
        await started.stop()
        call.close()
    assert started.addresses == {}


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StartError) as caught:
            await MediaRole().start(node(tmp_path, listen=listen))
    assert str(caught.value) == f"[media] listen = '{listen}': another process listens on {listen} already"


@pytest.mark.parametrize(
    ("media", "told"),
    [
        ({"listen": "127.0.0.1:0"}, "127.0.0.1"),
        ({"listen": "127.0.0.1:0", "public_address": "203.0.113.9"}, "203.0.113.9"),
        ({"listen": "0.0.0.0:0", "public_address": "203.0.113.9"}, "203.0.113.9"),
        ({"listen": "[::1]:0"}, "::1"),
    ],
)
async def test_clients_are_told_where_it_is_reached(tmp_path: Path, media: dict[str, str], told: str) -> None:
    started, its = MediaRole(), node(tmp_path, **media)
    await started.start(its)
    call = Call(server(its, Told()))
    try:
        shown = f"[{told}]" if ":" in told else told
        assert started.addresses["media"].startswith(f"{shown}:")
        port = started.addresses["media"].rpartition(":")[2]
        await call.join("anna")
        answer = await call.server.publish(ROOM, "anna", call.offerer(sends=True).offer())
        assert f"a=candidate:1 1 udp 2130706431 {told} {port} typ host" in answer
    finally:
        await started.stop()
        call.close()


async def test_where_it_listens_everywhere_it_names_an_address_of_this_machine(tmp_path: Path) -> None:
    started, its = MediaRole(), node(tmp_path, listen="0.0.0.0:0")
    await started.start(its)
    address = started.addresses["media"].rpartition(":")[0]
    await started.stop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 0))  # raises where it is not one


def test_without_the_role_there_is_no_media_server(tmp_path: Path) -> None:
    settings = {"node": {"data": tmp_path, "roles": ["connector", "group", "api"]}}
    assert Node(Settings.model_validate(settings)).make_media_server is None


@pytest.mark.parametrize(
    ("media", "problem"),
    [
        ({"listen": "20000"}, "must be address:port"),
        ({"listen": "localhost:20000"}, "must be address:port"),
        ({"listen": "127.0.0.1:70000"}, "must be address:port"),
        ({"public_address": "media.example"}, "must be an IP address"),
        ({"public_address": "0.0.0.0"}, "must be an IP address"),
        ({"backend": "kurento"}, "kurento must be set"),
        ({"kurento": ["http://host:8888/kurento"]}, "must be ws://host:8888/kurento"),
        ({"backend": "janus"}, "embedded"),
        ({"min_kbps": 900, "max_kbps": 800}, "min_kbps must not be above max_kbps"),
    ],
)
def test_settings_that_cannot_be(media: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Settings.model_validate({"media": media})
