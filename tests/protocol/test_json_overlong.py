"""What the beginning of a text that was too long says of the request (contract.md sections 2 and 8)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.frames import OVERLONG, Frame
from fsharechat.protocol.json import decode_overlong
from fsharechat.protocol.signals import SubSignal

HEAD = '{"signal": "PUBLISH", "subSignal": "MS", "messageId": 81, "content": {"te'


@pytest.mark.parametrize(
    ("start", "message_id"),
    [
        (HEAD, 81),
        (HEAD.replace(" ", ""), 81),
        (HEAD.replace(" ", "\n\t "), 81),
        (HEAD.replace("81", '"65536"'), 65536),
        (HEAD.replace("81", "81.0"), 81),
        ('{"messageId":0,"subSignal":"MS","signal":"PUBLISH","content":"x', 0),
    ],
)
def test_a_request_whose_beginning_says_enough(start: str, message_id: int) -> None:
    assert decode_overlong(start) == Frame(OVERLONG, SubSignal.MS, message_id, b"")


@pytest.mark.parametrize(
    "start",
    [
        "",
        "x" * 1024,
        '{"content": "x',
        HEAD[:40],
        HEAD.replace('"subSignal": "MS", ', ""),
        HEAD.replace('"messageId": 81, ', ""),
        HEAD.replace("81", "8e999"),
        HEAD.replace("81", '"x"'),
        HEAD.replace("MS", "XYZ"),
        HEAD.replace("PUBLISH", "CONNECT"),
        '{"signal": "PUBLISH", "content": {"subSignal": "MS", "messageId": 81, "x',
    ],
)
def test_a_beginning_that_does_not_say_whom_to_answer(start: str) -> None:
    assert decode_overlong(start) is None


@given(st.text(alphabet='{}":, \\eE+-.0189PUBLISHsignalMmessageIdu', max_size=200))
def test_any_beginning_is_read_or_not(tail: str) -> None:
    for start in (tail, HEAD[:20] + tail, HEAD + tail):
        frame = decode_overlong(start)
        assert frame is None or frame.signal == OVERLONG
