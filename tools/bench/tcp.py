"""The TCP side: frames patched from a template, pull answers cut by hand (contract.md sections 1 and 5)."""

import orjson

from fsharechat.protocol.messages_pb2 import ConnectAckPayload, NotifyMessage
from tools.wire import frames
from tools.wire.bodies import PING_INTERVAL, PRIVATE, Draft, connect_body, text
from tools.wire.contract import SIGNALS, SUB_SIGNALS
from tools.wire.proto2 import read_varint, varint

from .link import BenchLink
from .texts import LOCAL_BASE, TEXT_SIZE, TextParts, local_varint, message_id_of, uint16

_TEXT_FIELD = bytes((0x12, TEXT_SIZE)) + b"bench "
_PUBLISH, _PING = SIGNALS["PUBLISH"], SIGNALS["PING"]
_MP = SUB_SIGNALS["MP"]
_MS_ACK = SIGNALS["PUB_ACK"] << 8 | SUB_SIGNALS["MS"]
_MP_ACK = SIGNALS["PUB_ACK"] << 8 | _MP
_MN = _PUBLISH << 8 | SUB_SIGNALS["MN"]
_ACCEPTED = SIGNALS["CONNECT_ACK"] << 8 | SUB_SIGNALS["CONNECTION_ACCEPTED"]


class TcpBuilder:
    """Makes the frames of one pair by patching bytes."""

    def __init__(self, pair: int, sender: str, receiver: str, kind: int = PRIVATE) -> None:
        self._parts = TextParts(pair)
        draft = Draft(receiver, text(self._parts.text(0).decode()), LOCAL_BASE, kind=kind, sender=sender)
        frame = frames.encode(_PUBLISH, SUB_SIGNALS["MS"], 0, draft.body())
        before, after = frame.split(self._parts.text(0))
        self._start = before[: frames.HEADER - 2]
        self._middle = before[frames.HEADER :]
        self._end = after.removesuffix(local_varint(0))

    def message(self, seq: int) -> tuple[bytes, bytes]:
        text = self._parts.text(seq)
        frame = (self._start, uint16(message_id_of(seq)), self._middle, text, self._end, local_varint(seq))
        return b"".join(frame), text

    def pull(self, head: int, message_id: int) -> bytes:
        body = b"\x08" + varint(head - 1) + b"\x10\x00"
        return frames.encode(_PUBLISH, _MP, message_id, body)


def pull_texts(data: bytes, position: int, end: int) -> tuple[list[bytes], int]:
    """Return the texts of the PullMessageResult in data[position:end], oldest first, and its `current`.

    A message without a text of ours gives b"". Raises ValueError if it is no PullMessageResult.
    """
    texts: list[bytes] = []
    numbers = {0x10: 0, 0x18: 0}
    find = data.find
    while position < end:
        tag = data[position]
        number, position = read_varint(data, position + 1)
        if tag == 0x0A:
            stop = position + number
            at = find(_TEXT_FIELD, position, stop)
            texts.append(data[at + 2 : at + 2 + TEXT_SIZE] if at >= 0 else b"")
            position = stop
        elif tag in numbers:
            numbers[tag] = number
        else:
            raise ValueError(f"tag 0x{tag:02X} in a PullMessageResult")
    if position != end:
        raise ValueError("a PullMessageResult that is cut off")
    return texts, numbers[0x10]


class BenchTcpLink(BenchLink):
    """A connection of a mobile client."""

    def greet(self) -> None:
        """CONNECT and PING back to back, as clients do."""
        connect = orjson.dumps(connect_body(self.account, willTopic="", willMessage=""))
        self.out += (
            frames.encode(SIGNALS["CONNECT"], 0, 0, connect),
            frames.encode(_PING, 0, 1, orjson.dumps(PING_INTERVAL)),
        )

    def read(self, data: bytes, now: float) -> int:
        position = 0
        while (frame := frames.decode(data, position)) is not None:
            signal, sub_signal, message_id, start, position = frame
            self._frame(signal << 8 | sub_signal, message_id, data, start, position, now)
        return position

    def _frame(self, kind: int, message_id: int, data: bytes, start: int, end: int, now: float) -> None:
        if kind == _MS_ACK:
            self.peer.acked(message_id, data[start], now)
        elif kind == _MP_ACK:
            if data[start]:
                self.refuse(f"had an MP refused with code {data[start]}")
                return
            self.peer.pulled(message_id, *pull_texts(data, start + 1, end), now)
        elif kind == _MN:
            self.peer.notified(NotifyMessage.FromString(data[start:end]).head, now)
        elif kind == _ACCEPTED:
            self.peer.connected(ConnectAckPayload.FromString(data[start:end]).msg_head)
            self.accept()
        elif kind >> 8 != _PING:
            self.refuse(f"got signal {kind >> 8}, sub-signal {kind & 0xFF}")
