"""PresenceTable: where the devices of a user are, as the news of the connectors say."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fsharechat.bus import Presence
from roles.group.presence import PresenceTable

UIDS = ("ann", "bob")
DEVICES = [(uid, client) for uid in UIDS for client in ("phone", "web")]


@st.composite
def lives(draw: st.DrawFn, uid: str, client: str) -> list[Presence]:
    """Return the news of one device in order: connections that follow each other, each perhaps on another node.

    That one is over is told before the next begins, or after it by the node that the device has left, or never.
    """
    news: list[Presence] = []
    leaving: Presence | None = None
    for epoch, node in enumerate(draw(st.lists(st.integers(0, 2), max_size=5))):
        news.append(Presence(uid, client, node, epoch))
        if leaving is not None and leaving.node != node:
            news.append(leaving)
        leaving = Presence(uid, client, node, epoch, online=False)
        if draw(st.booleans()):
            news.append(leaving)
            leaving = None
    return news


def place(news: list[Presence]) -> set[int]:
    """Return the node of a device after its news: the last that told of it, unless that told of its end too."""
    begun = [presence for presence in news if presence.online]
    if not begun or begun[-1]._replace(online=False) in news:
        return set()
    return {begun[-1].node}


@st.composite
def interleaved(draw: st.DrawFn) -> tuple[list[Presence], dict[str, set[int]]]:
    """Return the news of several devices in any mixture, and the nodes of each user in the end."""
    where: dict[str, set[int]] = {uid: set() for uid in UIDS}
    waiting: list[list[Presence]] = []
    for uid, client in DEVICES:
        news = draw(lives(uid, client))
        where[uid] |= place(news)
        waiting.append(news[::-1])
    mixed: list[Presence] = []
    while waiting := [news for news in waiting if news]:
        mixed.append(draw(st.sampled_from(waiting)).pop())
    return mixed, where


@given(interleaved())
@settings(deadline=None, max_examples=80)
def test_each_user_is_where_the_last_connections_of_their_devices_are(
    history: tuple[list[Presence], dict[str, set[int]]],
) -> None:
    news, where = history
    table = PresenceTable()
    for presence in news:
        table.update(presence)
    for uid in UIDS:
        assert sorted(table.places.get(uid, ())) == sorted(where[uid])


def test_a_node_with_several_devices_of_a_user_is_one() -> None:
    table = PresenceTable()
    for client, node in (("phone", 1), ("web", 1), ("tablet", 2)):
        table.update(Presence("ann", client, node, 1))
    assert sorted(table.places.get("ann", ())) == [1, 2]
    table.update(Presence("ann", "phone", 1, 1, online=False))
    assert sorted(table.places.get("ann", ())) == [1, 2]
    table.update(Presence("ann", "web", 1, 1, online=False))
    assert table.places.get("ann", ()) == (2,)


def test_a_device_that_moves_is_told_where_it_was_once() -> None:
    table = PresenceTable()
    assert table.update(Presence("ann", "phone", 1, 5)) is None
    assert table.update(Presence("ann", "phone", 1, 6)) is None  # the node itself sees to that
    assert table.update(Presence("ann", "phone", 2, 3)) == (1, 6)
    assert table.update(Presence("ann", "web", 1, 7)) is None
    assert table.update(Presence("ann", "phone", 1, 6, online=False)) is None
    assert table.update(Presence("ann", "phone", 2, 3, online=False)) is None
    assert table.update(Presence("ann", "phone", 1, 8)) is None


def test_devices_of_nodes_that_are_gone_are_gone() -> None:
    table = PresenceTable()
    for uid, client, node in (("ann", "phone", 1), ("ann", "web", 2), ("bob", "phone", 2)):
        table.update(Presence(uid, client, node, 1))
    table.keep_nodes({1, 3})
    assert (table.places.get("ann", ()), table.places.get("bob", ())) == ((1,), ())
    table.update(Presence("bob", "phone", 3, 1))
    assert table.places.get("bob", ()) == (3,)


def test_the_end_of_what_nobody_knew_changes_nothing() -> None:
    table = PresenceTable()
    table.update(Presence("ann", "phone", 1, 1, online=False))
    assert table.places.get("ann", ()) == ()


def test_a_node_that_begins_has_no_device_from_before() -> None:
    table = PresenceTable()
    table.update(Presence("ann", "phone", 1, 5))
    table.update(Presence("ann", "web", 2, 5))
    table.update(Presence("bob", "phone", 1, 8))  # its news came before those of the node
    table.update(Presence("", "", 1, 7))
    assert (table.places.get("ann", ()), table.places.get("bob", ()), len(table)) == ((2,), (1,), 2)
    table.update(Presence("ann", "phone", 1, 6))  # and those of this one after it
    assert table.places.get("ann", ()) == (2,)
    table.update(Presence("ann", "phone", 1, 9))
    assert sorted(table.places.get("ann", ())) == [1, 2]
