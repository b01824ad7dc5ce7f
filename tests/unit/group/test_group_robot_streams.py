"""SRA: robots that are clients stream their answers, and nobody else does."""

import orjson
import pytest

from fsharechat.bus import Notify
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Method
from tests.unit.group.group_kit import Office


def part(to: str, delta: str = "飞", id: str = "stream", done: int = 0) -> pb.StreamAnswerRequest:
    return pb.StreamAnswerRequest(target_uid=to, stream_id=id, delta=delta, done=done)


async def make(office: Office, uid: str, *, robot: bool = True) -> int:
    body = orjson.dumps({"op": "users.robot", "user": uid, "robot": robot})
    status: int = orjson.loads((await office.ask("", Method.ADMIN, body)).payload)["code"]
    return status


@pytest.fixture
async def bot(office: Office) -> str:
    uid = await office.user()
    assert await make(office, uid) == 200
    return uid


async def test_a_robot_streams_to_the_devices_of_a_user(office: Office, bot: str) -> None:
    ann = await office.user()
    office.online(ann)
    for one in (part(ann, ""), part(ann), part(ann, "", done=1)):
        assert await office.code(bot, SubSignal.SRA, one) == Code.SUCCESS
    told = [event for event in office.events if isinstance(event, Notify)]
    assert {(event.sub_signal, event.uid) for event in told} == {(SubSignal.SAI, ann)}
    assert [orjson.loads(event.body) for event in told] == [
        {"i": "stream", "d": "", "f": False, "t": bot},
        {"i": "stream", "d": "飞", "f": False, "t": bot},
        {"i": "stream", "d": "", "f": True, "t": bot},
    ]


async def test_who_is_no_robot_streams_nothing(office: Office, bot: str) -> None:
    ann, ben = await office.user(), await office.user()
    office.online(ann)
    assert await office.code(ben, SubSignal.SRA, part(ann)) == Code.NO_RIGHT
    await make(office, bot, robot=False)
    assert await office.code(bot, SubSignal.SRA, part(ann)) == Code.NO_RIGHT
    await make(office, bot)
    assert await office.code(bot, SubSignal.SRA, part(ann)) == Code.SUCCESS
    await office.blacklist(ann, bot)
    assert await office.code(bot, SubSignal.SRA, part(ann)) == Code.BLACKLISTED
    assert len([event for event in office.events if isinstance(event, Notify)]) == 1


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"id": ""}, Code.INVALID_PARAMETER),
        ({"id": "i" * 65}, Code.INVALID_PARAMETER),
        ({"delta": "d" * 20_001}, Code.INVALID_PARAMETER),
        ({"to": "nobody"}, Code.NOT_EXIST),
    ],
    ids=str,
)
async def test_what_is_no_piece_is_refused(
    office: Office, bot: str, wrong: dict[str, str], code: Code
) -> None:
    given = {"to": await office.user(), **wrong}
    assert await office.code(bot, SubSignal.SRA, part(**given)) == code  # type: ignore[arg-type]
