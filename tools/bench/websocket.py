"""The WebSocket side: JSON patched from a template (contract.md section 2)."""

import base64
import os
import re
from typing import Any

import orjson

from tools.wire.bodies import Draft, WireAccount, connect_body, text
from tools.wire.frames import envelope
from tools.wire.websocket import CLOSE, PING, PONG, TEXT, decode, encode, is_upgraded, upgrade_request

from .link import BenchLink, BenchPeer
from .texts import LOCAL_BASE, TextParts, message_id_of

_SAMPLE_SEQ = 1234567890
_SAMPLE_ID = 54321
_MORE_CONTENT = {
    "pushContent": "",
    "content": "",
    "localContent": "",
    "mediaType": 0,
    "remoteMediaUrl": "",
    "localMediaPath": "",
    "mentionedType": 0,
    "mentionedTargets": [],
}
_MORE = {"direction": 0, "status": 0, "timestamp": 1_700_000_000_000}
"""Further keys that web clients send; the server does not use them."""


class WsBuilder:
    """Makes the frames of one pair by patching the JSON a web client sends."""

    def __init__(self, pair: int, sender: str, receiver: str) -> None:
        self._text_parts = TextParts(pair)
        local, said = LOCAL_BASE + _SAMPLE_SEQ, self._text_parts.text(_SAMPLE_SEQ).decode()
        message = Draft(receiver, text(said, **_MORE_CONTENT), local, sender=sender).web() | _MORE
        sample = _frame("PUBLISH", "MS", _SAMPLE_ID, message)
        marks = (f'"messageId":{_SAMPLE_ID},', said, str(local))
        parts = re.split("|".join(marks).encode(), sample)
        self._start, self._before_id, self._before_local, self._before_text, self._end = parts

    def message(self, seq: int) -> tuple[bytes, bytes]:
        text = self._text_parts.text(seq)
        local = b"%d" % (LOCAL_BASE + seq)
        frame = (
            self._start,
            b'"messageId":%d,' % message_id_of(seq),
            self._before_id,
            local,
            self._before_local,
            local,
            self._before_text,
            text,
            self._end,
        )
        return b"".join(frame), text

    def pull(self, head: int, message_id: int) -> bytes:
        return encode(
            b'{"signal":"PUBLISH","subSignal":"MP","messageId":%d,"content":'
            b'{"messageId":"%d","type":0,"pullType":1,"sendMessageCount":0}}' % (message_id, head)
        )


def _frame(signal: str, sub_signal: str, message_id: int, content: object) -> bytes:
    return encode(orjson.dumps(envelope(signal, sub_signal, message_id, content)))


class WsLink(BenchLink):
    """A connection of a web client."""

    def __init__(self, account: WireAccount, peer: BenchPeer) -> None:
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
        """Read the HTTP answer when it is whole, and send the CONNECT. Return where frames start."""
        head, found, _ = data.partition(b"\r\n\r\n")
        if not found:
            return 0
        if not is_upgraded(head, self.key):
            raise ValueError(f"no upgrade to WebSocket: {head[:100]!r}")
        self._upgrading = False
        self.out.append(_frame("CONNECT", "NONE", 0, connect_body(self.account)))
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
            self.peer.connected(int(orjson.loads(content)["messageHead"]))
            self.accept()
        else:
            self.refuse(f"got {kind[0]}/{kind[1]}")
