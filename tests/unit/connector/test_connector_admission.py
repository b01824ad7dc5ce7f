"""Who may connect, and who has to go for the next one."""

import socket
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from fsharechat.rooms import AddressRoom
from roles.connector.admission import Admission, Visit


class Clients:
    """Connects to an admission, from any address."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def connect(
        self, admission: Admission, address: str = "127.0.0.1", now: float = 0.0
    ) -> tuple[Visit | None, socket.socket]:
        """Return the visit, and the client's side of the connection."""
        server, client = socket.socketpair()
        client.setblocking(False)
        self._sockets += [server, client]
        return admission.enter(server, (address, 5), now), client

    def visit(self, admission: Admission, address: str = "127.0.0.1", now: float = 0.0) -> Visit:
        visit, _ = self.connect(admission, address, now)
        assert visit is not None
        return visit

    def close(self) -> None:
        for one in self._sockets:
            one.close()


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    yield clients
    clients.close()


def make(
    per_address: int = 0, most: int = 100, strangers: int = 100, trusted: tuple[str, ...] = ()
) -> Admission:
    return Admission(AddressRoom(per_address, trusted), most, strangers, 10)


def is_cut(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_when_there_is_no_room_for_strangers_the_oldest_goes(clients: Clients) -> None:
    admission = make(strangers=3)
    all_of_them = [clients.connect(admission, f"192.0.2.{n}") for n in range(10)]
    assert None not in [visit for visit, _ in all_of_them]
    assert [is_cut(client) for _, client in all_of_them] == [True] * 7 + [False] * 3
    assert (admission.strangers, admission.connections, admission.refused) == (3, 3, 7)
    for visit, _ in all_of_them:
        assert visit is not None
        visit.ended()  # which the first seven were already
    assert (admission.strangers, admission.connections) == (0, 0)


def test_who_opens_many_sends_away_his_own(clients: Clients) -> None:
    admission = make(strangers=3)
    _, first = clients.connect(admission, "192.0.2.1")
    flood = [clients.connect(admission, f"2001:db8::{n}")[1] for n in range(50)]
    assert not is_cut(first)
    assert [is_cut(client) for client in flood] == [True] * 48 + [False] * 2


def test_who_waits_for_an_answer_of_ours_stays(clients: Clients) -> None:
    admission = make(strangers=2)
    asking, client = clients.connect(admission)
    assert asking is not None
    asking.hold()
    _, silent = clients.connect(admission)
    assert clients.connect(admission)[0] is not None
    assert (is_cut(client), is_cut(silent)) == (False, True)
    asking.release()  # it was refused, and has not gone yet
    clients.visit(admission)
    clients.visit(admission)
    assert is_cut(client)


def test_with_those_alone_a_new_one_is_refused(clients: Clients) -> None:
    admission = make(per_address=5, strangers=2)
    asking = [clients.visit(admission, "192.0.2.1") for _ in range(2)]
    for visit in asking:
        visit.hold()
    assert clients.connect(admission, "192.0.2.1")[0] is None
    asking[0].ended()
    for _ in range(4):  # the refused one is not counted
        assert clients.connect(admission, "192.0.2.1")[0] is not None
    assert admission.refused == 4


def test_who_has_logged_in_never_goes(clients: Clients) -> None:
    admission = make(most=3, strangers=2)
    devices = [clients.connect(admission) for _ in range(2)]
    for visit, _ in devices:
        assert visit is not None
        visit.logged_in()
        visit.release()
    _, stranger = clients.connect(admission)
    last = clients.visit(admission)
    assert is_cut(stranger)
    assert [is_cut(client) for _, client in devices] == [False, False]
    last.logged_in()
    assert clients.connect(admission)[0] is None
    assert (admission.strangers, admission.connections) == (0, 3)


def test_an_address_has_its_share_logged_in_or_not(clients: Clients) -> None:
    admission = make(per_address=2, trusted=("10.0.0.0/8",))
    first = clients.visit(admission, "2001:db8::1")
    second = clients.visit(admission, "2001:db8::2")
    first.logged_in()
    with capture_logs() as logs:
        assert clients.connect(admission, "2001:db8::3")[0] is None
        admission.sweep(0.0)
        admission.sweep(0.0)
    assert [(line["event"], line.get("address")) for line in logs] == [
        ("connections refused: too many", None),
        ("connections refused: too many of one address", "2001:db8::3"),
    ]
    for address in ("2001:db8:0:1::1", "127.0.0.1", "127.0.0.1", "127.0.0.1", *["10.1.2.3"] * 5):
        clients.visit(admission, address)
    assert clients.connect(admission, "2001:db8::3")[0] is None
    first.ended()
    clients.visit(admission, "2001:db8::3")
    second.cut()
    clients.visit(admission, "2001:db8::3")


def test_those_whose_time_is_over_are_ended(clients: Clients) -> None:
    admission = make()
    old, device = clients.visit(admission, now=1.0), clients.visit(admission, now=1.5)
    _, handshaking = clients.connect(admission, now=2.0)
    device.logged_in()
    told: list[str] = []
    old.overdue = lambda: told.append("old")
    admission.sweep(11.0)
    assert told == []
    admission.sweep(11.5)
    assert (told, is_cut(handshaking)) == (["old"], False)
    admission.sweep(12.5)
    assert (told, is_cut(handshaking)) == (["old", "old"], True)  # until its end is noticed


def test_what_found_no_room_is_told_with_one_line_for_all(clients: Clients) -> None:
    admission = make(strangers=2)
    for _ in range(12):
        clients.visit(admission)
    with capture_logs() as logs:
        admission.sweep(0.0)
        admission.sweep(0.0)
    assert [(line["event"], line["count"], line["unauthenticated"]) for line in logs] == [
        ("connections refused: too many", 10, 2)
    ]
