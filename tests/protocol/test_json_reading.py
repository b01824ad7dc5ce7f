"""JSON text of any kind and size: what it reads as, and that refusing it costs little."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.json import decode_request
from fsharechat.protocol.shapes import reading
from fsharechat.protocol.shapes.reading import JsonError

PIECES = [
    r"\ud83d",
    r"\uDE00",
    r"\uD800",
    r"\udfff",
    "\\\\",
    r"\"",
    r"\n",
    "ud83d",
    r"\u0041",
    "x",
    "\U0001f600",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_escapes_read_as_elsewhere_but_for_lone_surrogates(pieces: list[str]) -> None:
    written = f'["{"".join(pieces)}"]'
    wanted = json.loads(written)[0].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert reading.loads(written) == [wanted]


@pytest.mark.parametrize(
    "text",
    [
        "\\" * (1 << 20),
        '"' + "\\\\" * (1 << 19),
        '"' + r"\ud800" * (1 << 17),
        '"' + r"\ud83d\ude00" * (1 << 16),
        '{"signal": "PUBLISH", "subSignal": "MS", "content": "' + "\\" * (1 << 20) + '"}',
        "[" * (1 << 20),
        '{"a":' * (1 << 18),
        "9" * (1 << 20),
        '"\0' + "\\" * (1 << 20),
    ],
    ids=["backslashes", "escaped", "halves", "pairs", "in a request", "arrays", "objects", "digits", "nul"],
)
def test_a_mebibyte_that_is_not_json_is_refused_without_a_look_at_each_character(text: str) -> None:
    """Other connections wait meanwhile. What would take long is whatever Python itself does for each character."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    sys.setprofile(count)
    try:
        with pytest.raises(JsonError):
            decode_request(text)
    finally:
        sys.setprofile(None)
    assert calls < 200
