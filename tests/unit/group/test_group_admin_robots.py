"""Robots that the back office makes, changes and takes away while the server runs."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from fsharechat import robot
from fsharechat.errors import StartError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Method
from fsharechat.settings_schema import AgentSettings, RobotsSettings
from fsharechat.store import robots as robot_rows
from fsharechat.store import users
from roles.group.agents import INSTALL_OPENAI, Agents
from roles.group.clock import ServerClock
from roles.group.robot_list import RobotList
from tests.unit.group.group_kit import Office, text, words
from tools.testing.server import until

KEY = "sk-a-secret"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    app = web.Application()
    app.add_subapp("/echo/", robot.echo(0))
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
def robots(address: str) -> RobotsSettings:
    return RobotsSettings.model_validate({"agents": [{"uid": "fixed", "name": "Fixed", "agent": address}]})


@pytest.fixture
def known(office: Office, role: Any) -> dict[str, AgentSettings]:
    """The agents that the process of the office knows."""
    agents: dict[str, AgentSettings] = role._business._robot_list.agents
    return agents


async def tell(office: Office, op: str, *, retried: bool = False, **request: Any) -> tuple[int, Any]:
    """Return the status, and the result or the reason."""
    body = orjson.dumps({"op": f"robots.{op}", **request})
    reply = await office.ask("", Method.ADMIN, body, retried=retried)
    assert reply.code == Code.SUCCESS
    assert KEY.encode() not in reply.payload
    answer = orjson.loads(reply.payload)
    return answer["code"], answer["result"] or answer["message"]


async def made(office: Office, address: str, uid: str = "new", **more: Any) -> Any:
    status, result = await tell(
        office, "create", uid=uid, name="New", agent=f"{address}/echo", key=KEY, **more
    )
    assert status == 200, result
    return result


async def says(office: Office, uid: str, question: str, target: str = "new") -> None:
    reply = await office.ask(uid, SubSignal.MS, text(target, question))
    assert reply.code == Code.SUCCESS


async def heard(office: Office, uid: str, count: int) -> list[str]:
    async def found() -> list[str]:
        return words(await office.inbox(uid))

    while len(texts := await found()) < count:
        await office.node.store.read(robot_rows.agents)
    return texts


async def test_a_robot_is_made_and_answers_at_once(
    office: Office, address: str, known: dict[str, AgentSettings]
) -> None:
    result = await made(office, address)
    shown = {"uid": "new", "name": "New", "portrait": "", "kind": "stream", "agent": f"{address}/echo"}
    assert result == {**shown, "model": "", "system": "", "exchanges": 3, "hasKey": True, "fixed": False}
    assert await tell(office, "get", robot="new") == (200, result)
    ann = await office.user()
    await until(lambda: "new" in known)
    await says(office, ann, "hello")
    assert await heard(office, ann, 2) == ["hello", "hello "]
    found = await office.payload(ann, SubSignal.US, pb.SearchUserRequest(keyword="New", fuzzy=0, page=0))
    (entry,) = pb.SearchUserResult.FromString(found).entry
    assert (entry.uid, entry.type) == ("new", 1)


async def test_every_process_follows(office: Office, address: str) -> None:
    store, bus = office.node.store, office.node.bus
    await made(office, address, "first")
    other = RobotList([], store, bus, ServerClock(office.ids))
    await other.start()
    assert set(other.agents) == {"first"}
    same = other.agents
    await made(office, address, "second")
    await until(lambda: set(same) == {"first", "second"})
    await tell(office, "change", robot="second", agent="https://elsewhere", kind="ask")
    await until(lambda: (same["second"].kind, same["second"].agent) == ("ask", "https://elsewhere"))
    assert same["second"].key == KEY
    assert await tell(office, "remove", robot="first") == (200, {"uid": "first", "removed": True})
    assert await tell(office, "remove", robot="first") == (200, {"uid": "first", "removed": False})
    await until(lambda: set(same) == {"second"})
    other.stop()


async def test_a_robot_that_was_taken_away_answers_no_more_and_may_come_back(
    office: Office, address: str, known: dict[str, AgentSettings]
) -> None:
    ann = await office.user()
    await made(office, address)
    await tell(office, "remove", robot="new")
    await until(lambda: "new" not in known)
    await says(office, ann, "are you there?")
    await made(office, address)
    await until(lambda: "new" in known)
    await says(office, ann, "and now?")
    assert await heard(office, ann, 3) == ["are you there?", "and now?", "and now? "]


async def test_what_is_changed_is_what_is_given(office: Office, address: str) -> None:
    await made(office, address, portrait="http://p")
    status, result = await tell(office, "change", robot="new", name="Other", key="", exchanges=0)
    assert (status, result["name"], result["hasKey"], result["exchanges"]) == (200, "Other", False, 0)
    assert result["portrait"] == "http://p"
    rows = await office.node.store.read(users.profiles, ["new"])
    profile = dict(zip(users.PROFILE, rows["new"], strict=True))
    assert (profile["display_name"], profile["portrait"]) == ("Other", "http://p")


async def test_robots_are_listed_in_pages(office: Office, address: str) -> None:
    for uid in ("a", "b", "z"):
        await made(office, address, uid)
    status, page = await tell(office, "list", after="", limit=3)
    assert (status, [one["uid"] for one in page["robots"]], page["next"]) == (
        200,
        ["a", "b", "fixed"],
        "fixed",
    )
    assert [one["fixed"] for one in page["robots"]] == [False, False, True]
    _, page = await tell(office, "list", after="fixed", limit=3)
    assert ([one["uid"] for one in page["robots"]], page["next"]) == (["z"], "")


async def test_those_of_the_settings_stay_as_they_are(office: Office, address: str) -> None:
    for op in ("change", "remove"):
        assert (await tell(office, op, robot="fixed", name="x"))[0] == 409
    assert (await tell(office, "create", uid="fixed", name="x", agent=address))[0] == 409
    assert (await tell(office, "get", robot="fixed"))[1]["fixed"] is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"uid": "a b"},
        {"name": ""},
        {"agent": "host:80"},
        {"kind": "openai"},
        {"kind": "magic"},
        {"key": f"{KEY} "},
        {"exchanges": 21},
    ],
    ids=str,
)
async def test_what_is_no_robot_is_refused_with_the_field(office: Office, wrong: dict[str, Any]) -> None:
    given = {"uid": "new", "name": "New", "agent": "http://h", "key": KEY, **wrong}
    status, said = await tell(office, "create", **given)
    assert status == 400
    assert next(iter(wrong)) in said or "the robot" in said
    assert await office.node.store.read(robot_rows.agent, "new") is None


async def test_no_user_becomes_a_robot(office: Office, address: str) -> None:
    ann = await office.user()
    status, said = await tell(office, "create", uid=ann, name="x", agent=address)
    assert (status, said) == (409, "there is a user with that uid")
    rows = await office.node.store.read(users.profiles, [ann])
    assert dict(zip(users.PROFILE, rows[ann], strict=True))["type"] == 0
    await made(office, address)
    assert (await tell(office, "create", uid="new", name="x", agent=address))[0] == 409


async def test_a_repeated_call_is_no_second_robot(office: Office, address: str) -> None:
    result = await made(office, address)
    again = {"uid": "new", "name": "New", "agent": f"{address}/echo", "key": KEY}
    assert await tell(office, "create", retried=True, **again) == (200, result)


async def test_what_is_not_there_is_not_found(office: Office) -> None:
    assert (await tell(office, "get", robot="nobody"))[0] == 404
    assert (await tell(office, "change", robot="nobody", name="x"))[0] == 404


async def test_there_is_a_bound(office: Office, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(robot_rows, "MAX_ROBOTS", 1)
    await made(office, address)
    assert (await tell(office, "create", uid="more", name="x", agent=address))[0] == 409


async def test_without_the_package_for_it_a_model_is_refused(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(_: object) -> str:
        return INSTALL_OPENAI

    monkeypatch.setattr(Agents, "prepare", missing)
    model: dict[str, Any] = {"kind": "openai", "agent": "http://h/v1", "model": "m"}
    assert await tell(office, "create", uid="new", name="x", **model) == (501, INSTALL_OPENAI)


async def test_without_the_package_a_robot_of_the_settings_ends_the_start(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def missing(_: object) -> str:
        return INSTALL_OPENAI

    monkeypatch.setattr(Agents, "prepare", missing)
    agent = AgentSettings(uid="m", name="M", kind="openai", agent="http://h/v1", model="m")
    listed = RobotList([agent], office.node.store, office.node.bus, ServerClock(office.ids))
    with pytest.raises(StartError, match=r"agents: m: .*pip install"):
        await listed.start()
