"""Robots in the store: their agents, and answers that are being written."""

import pytest

from fsharechat.protocol.signals import UserType
from fsharechat.store import copies, robots, users
from fsharechat.store.robots import AnswerUnderWay, NoRobot, TooManyRobots
from fsharechat.store.store import Store

LIVE = (1, 2)


async def kind_of(store: Store, uid: str) -> tuple[object, ...]:
    row = dict(zip(users.PROFILE, (await store.read(users.profiles, [uid]))[uid], strict=True))
    return row["display_name"], row["portrait"], row["mobile"], row["type"]


async def test_a_robot_is_added_changed_and_removed(store: Store) -> None:
    await store.write(robots.add, "r", "{}", "飞", "http://p", 5, b"1")
    assert await store.read(robots.agents) == (b"1", {"r": "{}"})
    assert await kind_of(store, "r") == ("飞", "http://p", "", UserType.ROBOT)
    assert await store.write(robots.change, "r", "old", "{}", "x", "", 6, b"2") is False
    assert await store.write(robots.change, "r", "{}", '{"a": "享"}', "享", "", 7, b"3") is True
    assert await store.read(robots.agent, "r") == '{"a": "享"}'
    assert await kind_of(store, "r") == ("享", "", "", UserType.ROBOT)
    assert await store.write(robots.remove, "r", b"4") is True
    assert await store.write(robots.remove, "r", b"5") is False
    assert await store.read(robots.agents) == (b"5", {})
    assert await store.read(copies.version, robots.VERSION) == b"5"
    await store.write(robots.add, "r", "{}", "again", "", 8, b"6")


async def test_what_cannot_be_a_robot_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    uid, _, _ = await store.write(users.get_or_create, "13800000001", 5)
    for taken in (uid, "r"):
        if taken == "r":
            await store.write(robots.add, "r", "{}", "n", "", 5, b"1")
        with pytest.raises(NoRobot):
            await store.write(robots.add, taken, "{}", "n", "", 5, b"2")
    monkeypatch.setattr(robots, "MAX_ROBOTS", 1)
    with pytest.raises(TooManyRobots):
        await store.write(robots.add, "more", "{}", "n", "", 5, b"3")
    assert await store.read(robots.agents) == (b"1", {"r": "{}"})
    assert (await kind_of(store, uid))[-1] == UserType.PERSON


async def test_answers_are_lost_with_their_process_or_by_time(store: Store) -> None:
    answers = [
        AnswerUnderWay("a", "r", "ann", "", 1, 100),
        AnswerUnderWay("b", "r", "ann", "group", 7, 100),
        AnswerUnderWay("c", "r", "ben", "", 2, 10),
    ]
    for answer in answers:
        await store.write(robots.begin_answer, answer)
    assert sorted(await store.read(robots.lost_answers, LIVE, 50, 10)) == answers[1:]
    assert await store.read(robots.lost_answers, LIVE, 5, 10) == answers[1:2]
    assert len(await store.read(robots.lost_answers, (99,), 5, 2)) == 2
    assert len(await store.read(robots.lost_answers, (), 5, 10)) == 3
    assert await store.write(robots.end_answer, "b") is True
    assert await store.write(robots.end_answer, "b") is False
    assert await store.read(robots.lost_answers, LIVE, 5, 10) == []
