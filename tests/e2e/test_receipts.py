"""Recall, reports and settings between devices on both transports, byte by byte (contract.md sections 7 and 8)."""

import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from fsharechat.client import Credentials
from fsharechat.clock import now_ms
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, Signal, SubSignal
from tools.testing.devices import log_in
from tools.testing.server import Server
from tools.wire.clients import TcpWire, WebWire

pytestmark = pytest.mark.slow

OK = {"code": 200, "message": "success", "result": None}
ERROR = {"code": 400, "message": "error", "result": None}


class ReceiptPeople(NamedTuple):
    """Ann has a phone (TCP) and a browser (WebSocket), and so has Ben."""

    ann: Credentials
    ben: Credentials
    ann_phone: TcpWire
    ann_web: WebWire
    ben_phone: TcpWire
    ben_web: WebWire


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[ReceiptPeople]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(tmp_path / "data"))
        wires: list[TcpWire | WebWire] = []
        credentials: list[Credentials] = []
        for number in ("13800000001", "13800000002"):
            for client in ("phone", "web"):
                logged_in = await log_in(server.at, number, f"{number}-{client}")
                wire: TcpWire | WebWire = (
                    await TcpWire.open(server.at.tcp)
                    if client == "phone"
                    else await WebWire.open(server.at.ws)
                )
                stack.push_async_callback(wire.close)
                assert await wire.connect(logged_in) == SubSignal.CONNECTION_ACCEPTED
                wires.append(wire)
            credentials.append(logged_in)
        yield ReceiptPeople(*credentials, *wires)  # type: ignore[arg-type]


async def told(wire: TcpWire, sub_signal: SubSignal) -> bytes:
    """Return the body of the next notification of that kind."""
    frame = await wire.frame(Signal.PUBLISH, lambda frame: frame.sub_signal == sub_signal)
    assert frame.message_id == 0
    return frame.body


async def web_told(wire: WebWire, sub_signal: str) -> Any:
    frame = await wire.frame("PUBLISH", lambda frame: frame["subSignal"] == sub_signal)
    assert frame["messageId"] == 0
    return orjson.loads(frame["content"])


async def sent(wire: TcpWire, target: str, local_id: int, kind: int = 0) -> int:
    """Send a text; return its id."""
    message = pb.Message(
        conversation=pb.Conversation(type=kind, target=target, line=0),
        from_user="",
        content=pb.MessageContent(type=1, searchable_content="a secret", persist_flag=3),
        local_message_id=local_id,
    )
    code, payload = await wire.request(SubSignal.MS, message.SerializeToString())
    assert code == 0
    id: int = struct.unpack(">qq", payload)[0]
    return id


def check_notice(message: pb.Message, id: int, operator: str) -> None:
    assert (message.message_id, message.content.type) == (id, ContentType.RECALLED)
    assert (message.content.content, message.content.data) == (operator, str(id).encode())
    assert message.content.searchable_content == ""


async def test_a_recall_reaches_every_device_but_the_one_that_asked(people: ReceiptPeople) -> None:
    ann, ben, ann_phone, ann_web, ben_phone, ben_web = people
    id = await sent(ann_phone, ben.user_id, 1)
    for wire in (ben_phone, ben_web, ann_web):
        assert (await wire.pull(await wire.next_mn() - 1))[0] == ["a secret"]
    other = await sent(ann_phone, ben.user_id, 2)
    assert await ben_phone.next_mn() == 2
    assert await ben_web.next_mn() == 2

    code, _ = await ben_phone.request(SubSignal.MR, pb.INT64Buf(id=id).SerializeToString())
    assert code == 248
    assert orjson.loads(await ben_web.request("MR", {"messageUid": str(id)})) == ERROR
    assert await ann_phone.request(SubSignal.MR, pb.INT64Buf(id=id).SerializeToString()) == (0, b"")
    assert orjson.loads(await ann_web.request("MR", {"messageUid": str(other)})) == OK

    for recalled in (id, other):
        notice = pb.NotifyRecallMessage.FromString(await told(ben_phone, SubSignal.RMN))
        assert (notice.id, notice.from_user) == (recalled, ann.user_id)
        assert await web_told(ben_web, "RMN") == {"fromUser": ann.user_id, "messageUid": str(recalled)}
    assert await web_told(ann_web, "RMN") == {"fromUser": ann.user_id, "messageUid": str(id)}
    assert pb.NotifyRecallMessage.FromString(await told(ann_phone, SubSignal.RMN)).id == other

    pull = pb.PullMessageRequest(id=0, type=0).SerializeToString()
    where = pb.Conversation(type=0, target=ann.user_id, line=0)
    history = pb.LoadRemoteMessages(conversation=where, before_uid=0, count=9).SerializeToString()
    for sub_signal, body, ids in ((SubSignal.MP, pull, (id, other)), (SubSignal.LRM, history, (other, id))):
        code, payload = await ben_phone.request(sub_signal, body)
        messages = pb.PullMessageResult.FromString(payload).message
        for message, recalled in zip(messages, ids, strict=True):
            check_notice(message, recalled, ann.user_id)
    web = orjson.loads(
        await ben_web.request("MP", {"messageId": "2", "type": 0, "pullType": 1, "sendMessageCount": 0})
    )
    assert {message["content"]["type"] for message in web["messageResponseList"]} == {80}
    await ann_phone.ping()  # what came before its answer is kept
    await ann_web.request("UG", {"version": "0"})
    assert [frame.sub_signal for frame in ann_phone.kept()].count(SubSignal.RMN) == 0
    assert [frame["subSignal"] for frame in ann_web.kept()].count("RMN") == 0


async def test_reports_reach_the_other_on_both_transports(people: ReceiptPeople) -> None:
    ann, ben, ann_phone, ann_web, ben_phone, ben_web = people
    before = now_ms()
    delivery = pb.DeliveryReport(date=1_700_000_000_000, target=ann.user_id).SerializeToString()
    assert await ben_phone.request(SubSignal.MDR, delivery) == (0, b"")
    reading = {"type": 0, "line": 0, "target": ann.user_id, "date": 1_700_000_000_001, "tos": ""}
    assert orjson.loads(await ben_web.request("MRR", reading)) == OK
    for kind in (1, 2):
        notice = pb.NotifyMessageReport.FromString(await told(ann_phone, SubSignal.MRN))
        assert (notice.type, notice.head) == (kind, 1)
        assert await web_told(ann_web, "MRN") == {"messageHead": "1", "type": kind}
        request = pb.PullMessageReportRequest(id=1, type=kind).SerializeToString()
        _, payload = await ann_phone.request(SubSignal.MRP, request)
        answered = pb.PullMessageReportResult.FromString(payload)
        date = answered.report[0].date
        assert before <= date <= now_ms()  # theirs is far off
        assert (answered.head == 1) if kind == 1 else (before <= answered.head)
        report = pb.MessageReport(report_type=kind, uid=ben.user_id, date=date, target=ben.user_id)
        assert answered == pb.PullMessageReportResult(
            report=[report], current=answered.head, head=answered.head
        )
        web = orjson.loads(await ann_web.request("MRP", {"id": "1", "type": kind}))
        assert web == {
            "current": str(answered.head),
            "head": str(answered.head),
            "messageCount": 1,
            "messageReportList": [
                {"reportType": kind, "uid": ben.user_id, "date": date, "target": ben.user_id}
            ],
        }
    assert orjson.loads(await ben_web.request("MDR", {"date": -1, "target": ann.user_id})) == OK


async def test_in_a_group_the_owner_recalls_and_a_reader_is_reported(people: ReceiptPeople) -> None:
    ann, ben, ann_phone, ann_web, ben_phone, ben_web = people
    made = pb.CreateGroupRequest(
        group=pb.Group(
            group_info=pb.GroupInfo(name="two", type=0),
            members=[pb.GroupMember(member_id=ben.user_id, type=0)],
        )
    )
    code, payload = await ann_phone.request(SubSignal.GC, made.SerializeToString())
    assert code == 0
    group = payload.decode()
    id = await sent(ben_phone, group, 1, kind=1)

    date = now_ms()
    reading = {"type": 1, "line": 0, "target": group, "date": 1 << 60, "tos": [ben.user_id]}
    assert orjson.loads(await ann_web.request("MRR", reading)) == OK
    assert await web_told(ben_web, "MRN") == {"messageHead": "1", "type": 2}
    web = orjson.loads(await ben_web.request("MRP", {"id": "1", "type": 2}))
    (report,) = web["messageReportList"]
    assert date <= report.pop("date") <= now_ms()
    assert report == {"reportType": 2, "uid": ann.user_id, "target": group}
    assert orjson.loads(await ann_web.request("MRR", {**reading, "target": "another"})) == ERROR

    assert await ann_phone.request(SubSignal.MR, pb.INT64Buf(id=id).SerializeToString()) == (0, b"")
    assert await web_told(ben_web, "RMN") == {"fromUser": ann.user_id, "messageUid": str(id)}
    notice = pb.NotifyRecallMessage.FromString(await told(ben_phone, SubSignal.RMN))
    assert (notice.id, notice.from_user) == (id, ann.user_id)
    pull = pb.PullMessageRequest(id=0, type=0).SerializeToString()
    _, payload = await ben_phone.request(SubSignal.MP, pull)
    (message,) = (m for m in pb.PullMessageResult.FromString(payload).message if m.message_id == id)
    check_notice(message, id, ann.user_id)


async def test_a_setting_of_one_device_is_there_on_the_other(people: ReceiptPeople) -> None:
    _, ben, ann_phone, ann_web, ben_phone, _ = people
    key = f"0-{ben.user_id}-0"
    request = pb.ModifyUserSettingReq(scope=3, key=key, value="1").SerializeToString()
    code, payload = await ann_phone.request(SubSignal.UP, request)
    first = int.from_bytes(payload)
    assert (code, len(payload)) == (0, 8)
    assert await web_told(ann_web, "UN") == {"version": str(first)}
    found = orjson.loads(await ann_web.request("UG", {"version": "0"}))
    assert [(entry["scope"], entry["key"], entry["value"]) for entry in found] == [(3, key, "1")]
    assert int(found[0]["updateDt"]) == first

    answer = orjson.loads(await ann_web.request("UP", {"scope": 3, "key": key, "value": "0"}))
    second = int(answer["version"])
    assert second > first
    assert int.from_bytes(await told(ann_phone, SubSignal.UN)) == second
    code, payload = await ann_phone.request(SubSignal.UG, pb.Version(version=first).SerializeToString())
    entry = pb.UserSettingEntry(scope=3, key=key, value="0", update_dt=second)
    assert (code, pb.GetUserSettingResult.FromString(payload)) == (0, pb.GetUserSettingResult(entry=[entry]))
    code, payload = await ben_phone.request(SubSignal.UG, pb.Version(version=0).SerializeToString())
    assert (code, payload) == (0, b"")
