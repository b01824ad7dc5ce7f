"""What the conformance suite takes for a fault of a server, and what its command says."""

import json
from typing import Any

import pytest

from tools.conformance import shapes
from tools.conformance.__main__ import table
from tools.conformance.all_rows import all_rows
from tools.conformance.arrived import Malformed, of_tcp, of_web
from tools.conformance.checks import Skip
from tools.conformance.rows import Row
from tools.conformance.running import run
from tools.conformance.world import Target, World
from tools.wire import proto2
from tools.wire.contract import MESSAGES, SIGNALS, SUB_SIGNALS

NOTIFY = proto2.encode("NotifyMessage", {"type": 0, "head": 7})
NOWHERE = Target([], [], [], "")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08\x00", "lacks the required field head"),
        (b"", "lacks the required field type"),
        (NOTIFY + b"\x20\x01", "has no field 4"),
        (NOTIFY + b"\x08\x00", "is there twice"),
        (b"\x0a\x01x\x10\x07", "wire type 2"),
        (NOTIFY + b"\x1a\x05x", "ends behind"),
        (NOTIFY + b"\x1a\x01\xff", "is not UTF-8"),
        (b"\x08" + b"\xff" * 4 + b"\x7f\x10\x07", "is no i32"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "longer than 10 bytes"),
        (NOTIFY[:-1], "is cut off"),
    ],
)
def test_what_is_no_such_message(data: bytes, reason: str) -> None:
    with pytest.raises(proto2.ProtoError, match=reason):
        proto2.decode("NotifyMessage", data)


def test_zeros_are_read_where_they_are_required() -> None:
    assert proto2.decode("NotifyMessage", b"\x08\x00\x10\x00") == {"type": 0, "head": 0}


def test_every_message_of_the_contract_is_there() -> None:
    assert len(MESSAGES) == 68
    assert MESSAGES["QuitGroupRequest"] == MESSAGES["DismissGroupRequest"]
    assert (len(SIGNALS), len(SUB_SIGNALS)) == (11, 60)


def _frame(**changes: Any) -> str:
    content = json.dumps({"messageHead": "7", "type": 0})
    frame = {"signal": "PUBLISH", "subSignal": "MN", "messageId": 0, "content": content}
    return json.dumps({**frame, **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"content": {"messageHead": "7", "type": 0}}, "is not of type 'string'"),
        ({"content": None}, "is not of type 'string'"),
        ({"content": json.dumps({"messageHead": 7, "type": 0})}, "is not of type 'string'"),
        ({"content": json.dumps({"messageHead": None, "type": 0})}, "is not of type 'string'"),
        ({"content": json.dumps({"messageHead": "7"})}, "'type' is a required property"),
        ({"content": json.dumps({"messageHead": "7", "type": 0, "x": 1})}, "Additional properties"),
        ({"content": '{"messageHead": "7", "messageHead": "7", "type": 0}'}, "there twice"),
        ({"content": ""}, "Expecting value"),
        ({"messageId": 1}, "message id 0"),
        ({"more": 1}, "Additional properties"),
        ({"subSignal": "XX"}, "is not one of"),
        ({"signal": "CONNECT"}, "nothing that servers say"),
    ],
)
def test_what_is_no_such_frame(changes: dict[str, Any], reason: str) -> None:
    assert of_web(_frame(), "").content == {"messageHead": 7, "type": 0}
    with pytest.raises(Malformed, match=reason):
        of_web(_frame(**changes), "")


@pytest.mark.parametrize(
    ("signal", "sub", "message_id", "body"),
    [
        ("PUBLISH", "MN", 1, NOTIFY),
        ("PUBLISH", "MN", 0, b"\0" + NOTIFY),
        ("PUB_ACK", "MP", 1, b""),
        ("PUB_ACK", "MP", 1, b"\x02why"),
        ("PUB_ACK", "MR", 1, b"\0more"),
        ("PUB_ACK", "MS", 1, b"\0" + bytes(15)),
        ("CONNECT_ACK", "CONNECTION_REFUSED_NOT_AUTHORIZED", 0, b"why"),
        ("PING", "NONE", 1, b""),
    ],
)
def test_what_is_no_such_body(signal: str, sub: str, message_id: int, body: bytes) -> None:
    with pytest.raises(Malformed):
        of_tcp(SIGNALS[signal], SUB_SIGNALS[sub], message_id, body, "")


def test_a_request_is_plain_or_typed() -> None:
    assert not set(shapes.PLAIN) & shapes.TYPED.keys()
    assert {*shapes.PLAIN, *shapes.TYPED, *shapes.NOTIFICATIONS, "GQNUT"} == {
        name for name in SUB_SIGNALS if name.isupper() and "CONNECTION" not in name and name != "NONE"
    }


def test_each_request_and_notification_has_a_row() -> None:
    titles = " ".join(row.title for row in all_rows() if row.section in ("7", "10"))
    words = set(titles.replace(",", " ").replace(":", " ").split())
    assert {*shapes.PLAIN, *shapes.TYPED, *shapes.NOTIFICATIONS, "GQNUT"} - words == set()


async def test_the_outcome_of_rows() -> None:
    async def passes(_: World) -> None:
        return

    async def fails(_: World) -> None:
        raise AssertionError("one, not two")

    async def is_skipped(_: World) -> None:
        raise Skip("no key")

    rows = [Row("7", trial.__name__, ("tcp", "ws"), trial) for trial in (passes, fails, is_skipped)]
    done: list[str] = []
    results = await run(NOWHERE, rows, 2, lambda result: done.append(result.outcome))
    assert sorted(done) == ["FAIL", "FAIL", "pass", "pass", "skip", "skip"]
    assert [line.split(maxsplit=3) for line in table(results).splitlines()[2:]] == [
        ["7", "tcp", "pass", "passes"],
        ["7", "ws", "pass", "passes"],
        ["7", "tcp", "FAIL", "fails"],
        ["one,", "not", "two"],
        ["7", "ws", "FAIL", "fails"],
        ["one,", "not", "two"],
        ["7", "tcp", "skip", "is_skipped"],
        ["no", "key"],
        ["7", "ws", "skip", "is_skipped"],
        ["no", "key"],
    ]
