"""The checked vectors of the contract: bytes captured from the original server and made by deployed clients."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from fsharechat.protocol import crypto, frames
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Signal, SubSignal

VECTORS = Path(__file__).parent / "vectors"


def load(name: str) -> dict[str, Any]:
    return dict(json.loads((VECTORS / name).read_text("utf-8")))


FRAMES = load("frames.json")["frames"]
CAPTURED = load("captured.json")["frames"]
CRYPTO = load("crypto.json")


def only_frame(data: bytes) -> frames.Frame:
    (frame,) = frames.FrameDecoder(1 << 20).feed(data)
    return frame


@pytest.mark.parametrize("vector", FRAMES, ids=[vector["name"] for vector in FRAMES])
def test_frames_encode_and_decode(vector: dict[str, Any]) -> None:
    expected = frames.Frame(
        vector["signal"], vector["sub_signal"], vector["message_id"], bytes.fromhex(vector["body"])
    )
    assert only_frame(bytes.fromhex(vector["frame"])) == expected
    assert frames.encode(*expected).hex() == vector["frame"]


@pytest.mark.parametrize("vector", CAPTURED)
def test_captured_frames(vector: dict[str, Any]) -> None:
    frame = only_frame(bytes.fromhex(vector["frame"]))
    assert (Signal(frame.signal).name, SubSignal(frame.sub_signal).name) == (
        vector["signal"],
        vector["sub_signal"],
    )
    assert frame.message_id == vector["message_id"]
    assert frames.encode(*frame).hex() == vector["frame"]


@pytest.mark.parametrize("vector", [vector for vector in CAPTURED if "message" in vector])
def test_captured_bodies_serialise_to_the_same_bytes(vector: dict[str, Any]) -> None:
    frame = only_frame(bytes.fromhex(vector["frame"]))
    body = frame.body[1:] if frame.signal == Signal.PUB_ACK else frame.body
    message = getattr(pb, vector["message"]).FromString(body)
    assert message.IsInitialized()
    assert not message.FindInitializationErrors()
    assert message.SerializeToString() == body


def test_the_transparent_push_holds_one_typing_message() -> None:
    (vector,) = [vector for vector in FRAMES if vector["name"].startswith("transparent push")]
    code, payload = bytes.fromhex(vector["body"])[0], bytes.fromhex(vector["body"])[1:]
    result = pb.PullMessageResult.FromString(payload)
    assert (code, result.current, result.head, len(result.message)) == (0, 0, 0, 1)
    assert (result.message[0].from_user, result.message[0].conversation.target) == ("alice", "bob")
    assert (result.message[0].content.type, result.message[0].content.persist_flag) == (91, 4)


def test_the_default_key() -> None:
    assert CRYPTO["default_key"] == crypto.DEFAULT_KEY.hex()


@pytest.mark.parametrize("vector", CRYPTO["raw"] + CRYPTO["stamped"])
def test_keys_come_from_secrets(vector: dict[str, Any]) -> None:
    key = crypto.key_of(vector["secret"]) if "secret" in vector else crypto.DEFAULT_KEY
    assert key.hex() == vector["key"]


@pytest.mark.parametrize("vector", CRYPTO["raw"])
def test_raw_encryption(vector: dict[str, Any]) -> None:
    key, plaintext, ciphertext = (bytes.fromhex(vector[name]) for name in ("key", "plaintext", "ciphertext"))
    assert crypto.encrypt(key, plaintext) == ciphertext
    assert crypto.decrypt(key, ciphertext) == plaintext


@pytest.mark.parametrize("vector", CRYPTO["stamped"])
def test_stamped_encryption(vector: dict[str, Any]) -> None:
    key, ciphertext = bytes.fromhex(vector["key"]), bytes.fromhex(vector["ciphertext"])
    plaintext = vector["plaintext_utf8"].encode()
    assert crypto.stamp(vector["hours"]).hex() == vector["stamp"]
    assert crypto.encrypt_stamped(key, plaintext, vector["hours"]) == ciphertext
    assert crypto.decrypt_stamped(key, ciphertext) == plaintext


def test_the_stamp_of_web_clients_is_accepted() -> None:
    stamp = bytes.fromhex(CRYPTO["web_client_stamp"]["stamp"])
    secret = "mySecretKey12345"
    password = base64.b64encode(crypto.encrypt(crypto.key_of(secret), stamp + b"token")).decode()
    assert crypto.open_connect_password(password, secret) == b"token"
