"""Robots: the agents that the back office gave them, and the answers that are being written."""

from collections.abc import Collection
from typing import NamedTuple

from fsharechat.protocol.signals import UserType
from fsharechat.store import copies, users
from fsharechat.store.unit import Dialect, Query, Unit, marks

MAX_ROBOTS = 1_000

VERSION = "robots_version"
"""The fact with the version of the agents (copies.py)."""


class TooManyRobots(Exception):
    """There would be more than MAX_ROBOTS robots. Nothing was changed."""


class NoRobot(Exception):
    """A user cannot be a robot, or is none. The text says why. Nothing was changed."""


class AnswerUnderWay(NamedTuple):
    """A robot's answer that a group process has begun to write."""

    id: str
    robot: str
    uid: str
    group_id: str
    node: int
    begun_ms: int


_ANSWER = ", ".join(AnswerUnderWay._fields)
_NOBODY = -1
"""No process has this node id. So the list of those that live is not empty, which MySQL would refuse."""


def agents(dialect: Dialect) -> Unit[tuple[bytes, dict[str, str]]]:
    """Return a version and the agents, as JSON, by the uid of the robot. They may be newer than the version."""
    version = yield from copies.version(dialect, VERSION)
    return version, dict((yield Query("SELECT uid, agent FROM robots ORDER BY uid")).rows)


def agent(_: Dialect, uid: str) -> Unit[str | None]:
    """Return the agent of a robot as JSON, None if the back office has given it none."""
    rows = (yield Query("SELECT agent FROM robots WHERE uid = ?", (uid,))).rows
    return rows[0][0] if rows else None


def keep_user(dialect: Dialect, uid: str, display_name: str, portrait: str, now: int) -> Unit[None]:
    """See to it that there is a user who is a robot, of that name and portrait. Nobody can log in as it."""
    wanted = {"display_name": display_name, "portrait": portrait, "type": UserType.ROBOT}
    sql = f"SELECT {', '.join(wanted)} FROM users WHERE uid = ?"
    rows = (yield Query(sql, (uid,))).rows
    if not rows:
        # Its number is the uid, which no number looks like.
        yield from users.insert(dialect, uid, uid, display_name, now)
        yield from users.modify(dialect, uid, {"mobile": "", **wanted}, now)
    elif rows[0] != tuple(wanted.values()):
        yield from users.modify(dialect, uid, wanted, now)


def add(
    dialect: Dialect, uid: str, agent_json: str, name: str, portrait: str, now: int, version: bytes
) -> Unit[None]:
    """Make a robot. Raises NoRobot and TooManyRobots."""
    yield from copies.set_version(dialect, VERSION, version)
    rows = (yield Query("SELECT number, type FROM users WHERE uid = ?", (uid,))).rows
    if rows and rows[0] != (uid, UserType.ROBOT):
        raise NoRobot("there is a user with that uid")
    if (yield from agent(dialect, uid)) is not None:
        raise NoRobot("there is a robot with that uid")
    if (yield Query("SELECT COUNT(*) FROM robots")).rows[0][0] >= MAX_ROBOTS:
        raise TooManyRobots
    yield Query("INSERT INTO robots (uid, agent) VALUES (?, ?)", (uid, agent_json))
    yield from keep_user(dialect, uid, name, portrait, now)


def change(
    dialect: Dialect,
    uid: str,
    before: str,
    agent_json: str,
    name: str,
    portrait: str,
    now: int,
    version: bytes,
) -> Unit[bool]:
    """Give a robot another agent in place of `before`. Return False if it has another one by now."""
    yield from copies.set_version(dialect, VERSION, version)
    if (yield from agent(dialect, uid)) != before:
        return False
    yield Query("UPDATE robots SET agent = ? WHERE uid = ?", (agent_json, uid))
    yield from keep_user(dialect, uid, name, portrait, now)
    return True


def remove(dialect: Dialect, uid: str, version: bytes) -> Unit[bool]:
    """Take the agent of a robot away; its user stays. Return whether there was one."""
    yield from copies.set_version(dialect, VERSION, version)
    return bool((yield Query("DELETE FROM robots WHERE uid = ?", (uid,))).changed)


# Answers that are being written


def begin_answer(_: Dialect, answer: AnswerUnderWay) -> Unit[None]:
    sql = f"INSERT INTO robot_answers ({_ANSWER}) VALUES (?, ?, ?, ?, ?, ?)"
    yield Query(sql, answer)


def end_answer(_: Dialect, id: str) -> Unit[bool]:
    """Forget an answer. Return False if somebody else has done so."""
    return bool((yield Query("DELETE FROM robot_answers WHERE id = ?", (id,))).changed)


def lost_answers(
    _: Dialect, alive: Collection[int], before_ms: int, limit: int
) -> Unit[list[AnswerUnderWay]]:
    """Return answers of processes that are not `alive`, and those that began too long ago."""
    # A key for this would cost each answer more than reading them all does: there are some hundreds at most.
    nodes = [*alive, _NOBODY]
    sql = (
        f"SELECT {_ANSWER} FROM robot_answers WHERE node NOT IN ({marks(len(nodes))}) OR begun_ms < ? LIMIT ?"
    )
    return [AnswerUnderWay(*row) for row in (yield Query(sql, (*nodes, before_ms, limit))).rows]
