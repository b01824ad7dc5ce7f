"""Kafka over TLS with a user and password: events and presence go, and what does not fit is said in words."""

from pathlib import Path

import pytest

from fsharechat import urls
from fsharechat.bus import BusError, Presence
from fsharechat.bus.kafka import KafkaBus
from fsharechat.bus.kafka_access import Access
from fsharechat.settings_types import ServiceTls
from tests.unit.bus.bus_kit import Events, Heard, note, online
from tools.services.certificates import Authority
from tools.testing.services import Services

LOGIN = "fsharechat:fsharechat@"
TLS_CLIENTS = "clients with TLS and a login"


class Broker:
    def __init__(self, services: Services) -> None:
        process = services("kafka").process("kafka")
        self.plain: int = process["ports"]["clients"]
        self.port: int = process["ports"][TLS_CLIENTS]
        self.tls = ServiceTls(ca=str(Path(process["log"]).parent / "tls" / "ca.pem"))

    def bus(
        self,
        login: str = LOGIN,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ServiceTls | None = None,
        sasl: str = "scram-sha-512",
    ) -> KafkaBus:
        url = urls.parse(f"kafka://{login}{host}:{port or self.port}", "kafka", 9092)
        return KafkaBus(url, self.tls if tls is None else tls, sasl)


@pytest.fixture
def broker(services: Services) -> Broker:
    return Broker(services)


async def refused(bus: KafkaBus) -> str:
    """Return why a bus does not open."""
    with pytest.raises(BusError) as caught:
        await bus.open()
    await bus.close()
    assert "secret" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("sasl", ["scram-sha-512", "scram-sha-256", "plain"])
async def test_events_and_presence(broker: Broker, sasl: str) -> None:
    sender, receiver = broker.bus(sasl=sasl), broker.bus(sasl=sasl)
    await sender.open()
    await receiver.open()
    try:
        events = Events()
        presence: Heard[Presence] = Heard()
        await receiver.serve_node(7, events)
        await receiver.watch_presence(presence)
        sender.deliver(7, [note(sasl)])
        assert await events.take(1) == [note(sasl)]
        said = online(f"device {sasl}", 7, 1)
        sender.announce(said)
        while await presence.next() != said:
            pass
    finally:
        await sender.close()
        await receiver.close()


@pytest.mark.slow
async def test_a_wrong_password_or_user(broker: Broker) -> None:
    for sasl in ("scram-sha-512", "plain"):
        why = await refused(broker.bus("fsharechat:secret@", sasl=sasl))
        assert f"it does not take the user 'fsharechat' with this password, by {sasl}" in why
    assert "it does not take the user 'ann'" in await refused(broker.bus("ann:secret@"))
    assert "does it want a user and password" in await refused(broker.bus(""))


@pytest.mark.slow
async def test_a_wrong_authority_or_host(broker: Broker, tmp_path: Path) -> None:
    stranger = ServiceTls(ca=str(Authority(tmp_path).certificate))
    assert "its certificate is not signed by our ca ([bus.tls])" in await refused(broker.bus(tls=stranger))
    assert "certificate is not valid for 'localhost'" in await refused(broker.bus(host="localhost"))
    lax = broker.bus(host="localhost", tls=broker.tls.model_copy(update={"verify_host": False}))
    await lax.open()
    await lax.close()


@pytest.mark.slow
async def test_one_side_without_tls(broker: Broker) -> None:
    assert "it hung up: is that port for TLS" in await refused(broker.bus(port=broker.plain))
    for login in ("", LOGIN):
        why = await refused(broker.bus(login, tls=ServiceTls()))
        assert "it hung up: does it want TLS ([bus.tls])?" in why


@pytest.mark.slow
async def test_a_user_where_none_is_wanted(broker: Broker) -> None:
    why = await refused(broker.bus("ann:secret@", port=broker.plain, tls=ServiceTls()))
    assert "it wants no user and password" in why


def test_a_file_that_has_gone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    access = Access("h:1", tls=ServiceTls(ca=str(authority.certificate)))
    authority.certificate.unlink()
    with pytest.raises(BusError, match=r"^\[bus.tls\] .*No such file"):
        _ = access.options


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Access("h:1", "ann", "secret"))
