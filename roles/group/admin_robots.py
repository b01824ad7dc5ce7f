"""Operations of the back office on robots: their agents, at run time. What an agent is asked with is never shown."""

import secrets
from typing import Any

from pydantic import ValidationError

from fsharechat.rpc import Call
from fsharechat.settings_schema import AgentSettings
from fsharechat.store import robots
from fsharechat.store.robots import MAX_ROBOTS, NoRobot, TooManyRobots
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import Denied, OfficeRequest, Operations, page
from roles.group.agents import Agents
from roles.group.clock import ServerClock
from roles.group.robot_list import RobotList

_FIELDS = frozenset(AgentSettings.model_fields)


def _shown(agent: AgentSettings, listed: RobotList) -> dict[str, object]:
    shown = agent.model_dump(exclude={"key"})
    return {**shown, "hasKey": bool(agent.key), "fixed": agent.uid in listed.fixed}


async def _checked(fields: dict[str, Any]) -> AgentSettings:
    """Return an agent of these fields. Raises Denied, which shows none of their values."""
    try:
        agent = AgentSettings.model_validate(fields)
    except ValidationError as error:
        problems = (
            f"{'.'.join(map(str, one['loc'])) or 'the robot'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise Denied(400, "; ".join(problems)) from None
    if missing := await Agents.prepare(agent):
        raise Denied(501, missing)
    return agent


def _changeable(listed: RobotList, uid: str) -> None:
    if uid in listed.fixed:
        raise Denied(409, "the robot is in the settings ([[robots.agents]]), which say what it is")


async def _kept(store: Store, uid: str) -> str:
    text = await store.read(robots.agent, uid)
    if text is None:
        raise Denied(404, "there is no such robot")
    return text


async def list_robots(store: Store, listed: RobotList, _: Call, request: OfficeRequest) -> object:
    kept = (await store.read(robots.agents))[1]
    agents = {uid: AgentSettings.model_validate_json(text) for uid, text in kept.items()} | listed.fixed
    limit: int = request["limit"]
    found = sorted(uid for uid in agents if uid > request["after"])
    return page("robots", found, limit, lambda uid: _shown(agents[uid], listed), lambda uid: uid)


async def get(store: Store, listed: RobotList, _: Call, request: OfficeRequest) -> object:
    agent = listed.fixed.get(request["robot"])
    return _shown(agent or AgentSettings.model_validate_json(await _kept(store, request["robot"])), listed)


async def create(
    store: Store, clock: ServerClock, listed: RobotList, call: Call, request: OfficeRequest
) -> object:
    agent = await _checked({name: request[name] for name in _FIELDS if request.get(name) is not None})
    _changeable(listed, agent.uid)
    text = agent.model_dump_json()
    try:
        await store.write(
            request.audited(robots.add),
            agent.uid,
            text,
            agent.name,
            agent.portrait,
            clock.now(),
            secrets.token_bytes(16),
        )
    except TooManyRobots:
        raise Denied(409, f"there are {MAX_ROBOTS} robots already") from None
    except NoRobot as error:
        if not (call.retried and await store.read(robots.agent, agent.uid) == text):
            raise Denied(409, str(error)) from None
    listed.changed()
    return _shown(agent, listed)


async def change(
    store: Store, clock: ServerClock, listed: RobotList, _: Call, request: OfficeRequest
) -> object:
    """Change what is given; the rest stays, the key too."""
    uid: str = request["robot"]
    _changeable(listed, uid)
    before = await _kept(store, uid)
    given = {name: request[name] for name in _FIELDS - {"uid"} if request.get(name) is not None}
    agent = await _checked({**AgentSettings.model_validate_json(before).model_dump(), **given})
    args = (agent.model_dump_json(), agent.name, agent.portrait, clock.now(), secrets.token_bytes(16))
    await store.write(request.audited(_change), uid, before, *args)
    listed.changed()
    return _shown(agent, listed)


def _change(
    dialect: Dialect, uid: str, before: str, text: str, name: str, portrait: str, now: int, version: bytes
) -> Unit[None]:
    if not (yield from robots.change(dialect, uid, before, text, name, portrait, now, version)):
        raise Denied(409, "somebody else has changed the robot meanwhile: try again")


async def remove(store: Store, listed: RobotList, _: Call, request: OfficeRequest) -> object:
    """Take the agent away. The user stays, and what it has said; nobody answers any more."""
    uid: str = request["robot"]
    _changeable(listed, uid)
    removed = await store.write(request.audited(robots.remove), uid, secrets.token_bytes(16))
    listed.changed()
    return {"uid": uid, "removed": removed}


OPERATIONS: Operations = {
    "robots.list": list_robots,
    "robots.get": get,
    "robots.create": create,
    "robots.change": change,
    "robots.remove": remove,
}
