"""The TCP side: frames patched from a template, pull answers cut by hand (contract.md sections 1 and 5)."""

from struct import Struct

import orjson

from fsharechat.protocol import frames
from fsharechat.protocol.messages_pb2 import Message, NotifyMessage
from fsharechat.protocol.signals import ContentType, PersistFlag, Signal, SubSignal

from .link import Link
from .texts import LOCAL_BASE, TEXT_SIZE, TextParts, local_varint, message_id_of, uint16

_unpack_header = Struct(">BBBiBH").unpack_from
_TEXT_FIELD = bytes((0x12, TEXT_SIZE)) + b"bench "
_MS_ACK = Signal.PUB_ACK << 8 | SubSignal.MS
_MP_ACK = Signal.PUB_ACK << 8 | SubSignal.MP
_MN = Signal.PUBLISH << 8 | SubSignal.MN
_ACCEPTED = Signal.CONNECT_ACK << 8 | SubSignal.CONNECTION_ACCEPTED
_PING_INTERVAL_MS = 30_000


class TcpBuilder:
    """Makes the frames of one pair by patching bytes."""

    def __init__(self, pair: int, sender: str, receiver: str) -> None:
        self._parts = TextParts(pair)
        message = Message(from_user=sender, local_message_id=LOCAL_BASE)
        message.conversation.type = 0
        message.conversation.target = receiver
        message.conversation.line = 0
        message.content.type = ContentType.TEXT
        message.content.searchable_content = self._parts.text(0).decode()
        message.content.persist_flag = PersistFlag.STORED_AND_COUNTED
        frame = frames.encode(Signal.PUBLISH, SubSignal.MS, 0, message.SerializeToString())
        before, after = frame.split(self._parts.text(0))
        self._start = before[: frames.HEADER_SIZE - 2]
        self._middle = before[frames.HEADER_SIZE :]
        self._end = after.removesuffix(local_varint(0))

    def message(self, seq: int) -> tuple[bytes, bytes]:
        text = self._parts.text(seq)
        frame = (self._start, uint16(message_id_of(seq)), self._middle, text, self._end, local_varint(seq))
        return b"".join(frame), text

    def pull(self, head: int, message_id: int) -> bytes:
        body = b"\x08" + varint(head - 1) + b"\x10\x00"
        return frames.encode(Signal.PUBLISH, SubSignal.MP, message_id, body)


def varint(number: int) -> bytes:
    """Return `number`, at least 0, as a protobuf varint."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the varint at `position` and where it ends. Raises IndexError when it does not."""
    byte = data[position]
    number, shift = byte & 0x7F, 7
    position += 1
    while byte > 0x7F:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        shift += 7
        position += 1
    return number, position


def pull_texts(data: bytes, position: int, end: int) -> tuple[list[bytes], int]:
    """Return the texts of the PullMessageResult in data[position:end], oldest first, and its `current`.

    A message without a text of ours gives b"". Raises ValueError when it is no PullMessageResult.
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


class TcpLink(Link):
    """A connection of a mobile client."""

    def greet(self) -> None:
        """CONNECT and PING back to back, as clients do."""
        connect = orjson.dumps({**self.account.connect_body(), "willTopic": "", "willMessage": ""})
        ping = orjson.dumps({"interval": _PING_INTERVAL_MS})
        self.out += (
            frames.encode(Signal.CONNECT, SubSignal.NONE, 0, connect),
            frames.encode(Signal.PING, SubSignal.NONE, 1, ping),
        )

    def read(self, data: bytes, now: float) -> int:
        position, end = 0, len(data)
        while end - position >= frames.HEADER_SIZE:
            magic, _, signal, length, sub_signal, message_id = _unpack_header(data, position)
            if magic != frames.MAGIC:
                raise ValueError(f"a frame that starts with 0x{magic:02X}")
            start = position + frames.HEADER_SIZE
            if start + length > end:
                break
            position = start + length
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
            self.accept()
        elif kind >> 8 != Signal.PING:
            self.refuse(f"got signal {kind >> 8}, sub-signal {kind & 0xFF}")
