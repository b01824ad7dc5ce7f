"""The bodies of frames between processes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsharechat.protocol.frames import FrameDecoder
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.codec import NEWEST, CodecError

texts = st.text(max_size=300) | st.sampled_from(["", "\ud800", "飞享"])
calls = st.builds(
    Call,
    method=st.integers(0, 255),
    uid=texts,
    client_id=texts,
    body=st.binary(max_size=2000),
    message_id=st.integers(0, (1 << 63) - 1),
    retried=st.booleans(),
    frame_id=st.integers(-(1 << 63), (1 << 63) - 1),
    issued_ms=st.integers(0, (1 << 63) - 1),
)

OURS = bytes((NEWEST,))
"""What a challenge of our version begins with."""


def body(frame: bytes, signal: Signal) -> tuple[int, bytes]:
    """Return id and body of the only frame in the bytes."""
    [found] = FrameDecoder(1 << 20).feed(frame)
    assert found.signal == signal
    return found.message_id, found.body


@given(calls, st.integers(0, 65_535), st.integers(0, (1 << 32) - 1))
@example(Call(255, "u" * 65_535, "c" * 65_535, b"", (1 << 63) - 1, True), 65_535, (1 << 32) - 1)
def test_a_call_comes_back_as_it_was(call: Call, number: int, milliseconds: int) -> None:
    found, decoded = body(codec.encode_call(number, call, milliseconds), Signal.PUBLISH)
    assert found == number
    assert codec.decode_call(decoded) == (call, milliseconds)


@given(st.integers(0, 255), st.binary(max_size=2000), st.integers(0, 65_535))
def test_a_reply_comes_back_as_it_was(code: int, payload: bytes, number: int) -> None:
    found, decoded = body(codec.encode_reply(number, Reply(code, payload)), Signal.PUB_ACK)
    assert found == number
    assert codec.decode_reply(decoded) == Reply(code, payload)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_call_or_a_codec_error(data: bytes) -> None:
    try:
        call, _ = codec.decode_call(data)
    except CodecError:
        return
    assert isinstance(call.uid, str)


@given(calls)
def test_a_call_cut_short_has_a_shorter_body_or_is_an_error(call: Call) -> None:
    _, whole = body(codec.encode_call(0, call, 1), Signal.PUBLISH)
    for size in {len(whole) - 1, len(whole) // 2, 0}:
        try:
            cut, _ = codec.decode_call(whole[:size])
        except CodecError:
            assert size < len(whole) - len(call.body)
        else:
            assert cut == call._replace(body=cut.body)
            assert call.body.startswith(cut.body)


@pytest.mark.parametrize(
    "call",
    [
        Call(256, "", "", b""),
        Call(-1, "", "", b""),
        Call(1, "u" * 65_536, "", b""),
        Call(1, "", "", b"", 1 << 63),
        Call(1, "", "", b"", frame_id=1 << 63),
    ],
)
def test_what_does_not_fit_is_an_error(call: Call) -> None:
    with pytest.raises(CodecError):
        codec.encode_call(0, call, 1)


def test_ids_that_are_not_utf8_are_an_error() -> None:
    frame = bytearray(codec.encode_call(0, Call(1, "ann", "phone", b""), 1))
    frame[frame.index(b"ann")] = 0xFF
    with pytest.raises(CodecError, match="UTF-8"):
        codec.decode_call(body(bytes(frame), Signal.PUBLISH)[1])


@pytest.mark.parametrize("decode", [codec.decode_challenge, codec.decode_proof, codec.decode_accepted])
@pytest.mark.parametrize("data", [b"", OURS, OURS * 31, OURS + bytes(200)])
def test_a_handshake_of_another_size_is_an_error(decode: object, data: bytes) -> None:
    assert callable(decode)
    with pytest.raises(CodecError):
        decode(data)


def test_an_empty_reply_is_an_error() -> None:
    with pytest.raises(CodecError):
        codec.decode_reply(b"")


def test_proofs_differ_by_side_secret_and_nonce() -> None:
    one, two = bytes(32), bytes([1]) * 32
    macs = [
        codec.caller_mac(b"secret", one, two),
        codec.callee_mac(b"secret", one, two),
        codec.caller_mac(b"Secret", one, two),
        codec.caller_mac(b"secret", two, one),
        codec.caller_mac(b"secret", one, one),
    ]
    assert len(set(macs)) == len(macs)
