"""The WebSocket side: upgrade and frames by hand, JSON patched from a template (contract.md section 2)."""

import base64
import hashlib
import os
import re
from struct import Struct
from typing import Any

import orjson

from .link import Account, Link, Peer
from .texts import LOCAL_BASE, TextParts, message_id_of

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
_FIN = 0x80
_MASKED = 0x80
_KEY = bytes(4)
"""The mask: zero is as good as any to the server, which undoes it all the same, and costs nothing here."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_length16 = Struct(">H")
_length64 = Struct(">Q")
_SAMPLE_SEQ = 1234567890
_SAMPLE_ID = 54321


def encode(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one masked client frame."""
    size = len(payload)
    if size < 126:
        return bytes((_FIN | opcode, _MASKED | size)) + _KEY + payload
    if size < 1 << 16:
        return bytes((_FIN | opcode, _MASKED | 126)) + _length16.pack(size) + _KEY + payload
    return bytes((_FIN | opcode, _MASKED | 127)) + _length64.pack(size) + _KEY + payload


def decode(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Return (opcode, start, end) of the server frame's payload at `position`; None while it is not whole.

    Raises ValueError for what this server has no reason to send: fragments, extensions, masked frames.
    """
    end = len(data)
    if end - position < 2:
        return None
    first, size = data[position], data[position + 1]
    if first & 0xF0 != _FIN or size & _MASKED:
        raise ValueError(f"a WebSocket frame that starts with 0x{first:02X}{size:02X}")
    start = position + 2
    if size == 126:
        start += 2
        if start > end:
            return None
        (size,) = _length16.unpack_from(data, position + 2)
    elif size == 127:
        start += 8
        if start > end:
            return None
        (size,) = _length64.unpack_from(data, position + 2)
    stop = start + size
    return (first & 0x0F, start, stop) if stop <= end else None


def upgrade_request(key: bytes) -> bytes:
    return (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )


def is_upgraded(head: bytes, key: bytes) -> bool:
    """Tell whether `head`, an HTTP answer without its empty line, accepts the upgrade sent with `key`."""
    status, *headers = head.split(b"\r\n")
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    return status.startswith(b"HTTP/1.1 101 ") and any(
        name.lower() == b"sec-websocket-accept" and value.strip() == accept
        for name, _, value in (line.partition(b":") for line in headers)
    )


def envelope(signal: str, sub_signal: str, message_id: int, content: Any) -> bytes:
    return orjson.dumps(
        {"signal": signal, "subSignal": sub_signal, "messageId": message_id, "content": content}
    )


class WsBuilder:
    """Makes the frames of one pair by patching the JSON a web client sends."""

    def __init__(self, pair: int, sender: str, receiver: str) -> None:
        self._text_parts = TextParts(pair)
        local, text = str(LOCAL_BASE + _SAMPLE_SEQ), self._text_parts.text(_SAMPLE_SEQ).decode()
        sample = encode(envelope("PUBLISH", "MS", _SAMPLE_ID, _web_message(sender, receiver, local, text)))
        marks = (f'"messageId":{_SAMPLE_ID},', text, local)
        parts = re.split("|".join(marks).encode(), sample)
        self._start, self._before_text, self._before_id, self._before_local, self._end = parts

    def message(self, seq: int) -> tuple[bytes, bytes]:
        text = self._text_parts.text(seq)
        local = b"%d" % (LOCAL_BASE + seq)
        frame = (
            self._start,
            b'"messageId":%d,' % message_id_of(seq),
            self._before_text,
            text,
            self._before_id,
            local,
            self._before_local,
            local,
            self._end,
        )
        return b"".join(frame), text

    def pull(self, head: int, message_id: int) -> bytes:
        return encode(
            b'{"signal":"PUBLISH","subSignal":"MP","messageId":%d,"content":'
            b'{"messageId":"%d","type":0,"pullType":1,"sendMessageCount":0}}' % (message_id, head)
        )


def _web_message(sender: str, receiver: str, local_id: str, text: str) -> dict[str, Any]:
    return {
        "conversationType": 0,
        "target": receiver,
        "line": 0,
        "from": sender,
        "tos": "",
        "content": {
            "type": 1,
            "searchableContent": text,
            "pushContent": "",
            "content": "",
            "binaryContent": "",
            "localContent": "",
            "mediaType": 0,
            "remoteMediaUrl": "",
            "localMediaPath": "",
            "mentionedType": 0,
            "mentionedTargets": [],
        },
        "messageId": local_id,
        "localMessageId": local_id,
        "direction": 0,
        "status": 0,
        "timestamp": 1_700_000_000_000,
    }


class WsLink(Link):
    """A connection of a web client."""

    def __init__(self, account: Account, peer: Peer) -> None:
        super().__init__(account, peer)
        self._upgrading = True
        self.key = base64.b64encode(os.urandom(16))

    def greet(self) -> None:
        self.out.append(upgrade_request(self.key))

    def read(self, data: bytes, now: float) -> int:
        position = self._upgrade(data) if self._upgrading else 0
        while not self._upgrading and (frame := decode(data, position)) is not None:
            opcode, start, position = frame
            if opcode == TEXT:
                self._text(orjson.loads(data[start:position]), now)
            elif opcode == PING:
                self.out.append(encode(data[start:position], PONG))
            elif opcode == CLOSE:
                self.refuse(f"got a close frame: {data[start:position]!r}")
        return position

    def _upgrade(self, data: bytes) -> int:
        """Read the HTTP answer when it is whole, send the CONNECT; return where frames start."""
        head, found, _ = data.partition(b"\r\n\r\n")
        if not found:
            return 0
        if not is_upgraded(head, self.key):
            raise ValueError(f"no upgrade to WebSocket: {head[:100]!r}")
        self._upgrading = False
        self.out.append(encode(envelope("CONNECT", "NONE", 0, self.account.connect_body())))
        return len(head) + len(found)

    def _text(self, frame: dict[str, Any], now: float) -> None:
        kind = (frame["signal"], frame["subSignal"])
        content: str = frame["content"]
        if kind == ("PUB_ACK", "MS"):
            self.peer.acked(frame["messageId"], 0 if content else -1, now)
        elif kind == ("PUB_ACK", "MP"):
            if not content:
                self.refuse("had an MP refused")
                return
            result = orjson.loads(content)
            texts = [
                entry["content"]["searchableContent"].encode() for entry in result["messageResponseList"]
            ]
            self.peer.pulled(frame["messageId"], texts, int(result["current"]), now)
        elif kind == ("PUBLISH", "MN"):
            self.peer.notified(int(orjson.loads(content)["messageHead"]), now)
        elif kind == ("CONNECT_ACK", "CONNECTION_ACCEPTED"):
            self.accept()
        else:
            self.refuse(f"got {kind[0]}/{kind[1]}")
