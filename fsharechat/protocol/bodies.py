"""Message bodies written and read by hand, where that is simpler or much faster than the protobuf runtime."""

from collections.abc import Iterable
from operator import attrgetter
from struct import Struct

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from fsharechat.protocol import messages_pb2 as pb

_THREE_LONGS = Struct(">qqq")
_LONG = Struct(">q")

_MESSAGE_TAG = b"\x0a"
_CURRENT_TAG = b"\x10"
_HEAD_TAG = b"\x18"

MAX_ITEMS = 10_000
"""The most entries that one list of a request may hold. More would keep the event loop busy for too long."""


def varint(value: int) -> bytes:
    """Return the protobuf varint of a number that is not negative."""
    if value < 0x4000:  # most seqs
        return bytes((value,)) if value < 0x80 else bytes((value & 0x7F | 0x80, value >> 7))
    if value < 0x200000:
        return bytes((value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_KNOWN = 1024
_VARINTS = [varint(value) for value in range(_KNOWN)]


def pull_entry(message: bytes) -> bytes:
    """Return a serialised Message as an element of a PullMessageResult."""
    size = len(message)
    return _MESSAGE_TAG + (_VARINTS[size] if size < _KNOWN else varint(size)) + message


def pull_result(entries: Iterable[bytes], current: int, head: int) -> bytes:
    """Return the PullMessageResult of entries made by `pull_entry` (contract.md section 5)."""
    upto = varint(current)
    return b"".join((*entries, _CURRENT_TAG, upto, _HEAD_TAG, upto if head == current else varint(head)))


def notify_message(head: int) -> bytes:
    """Return the NotifyMessage of an MN: type 0, and the lowest seq to fetch."""
    return b"\x08\x00\x10" + varint(head)


def notify_report(kind: int, head: int) -> bytes:
    """Return the NotifyMessageReport of an MRN: the kind (ReportType), and the lowest report to fetch."""
    return b"\x08" + varint(kind) + b"\x10" + varint(head)


def notify_recall(message_id: int, operator: str) -> bytes:
    """Return the NotifyRecallMessage of an RMN."""
    text = operator.encode()
    return b"\x08" + varint(message_id) + b"\x12" + varint(len(text)) + text


SENT_BYTES = 16
"""The part of the payload of an MS answer that the device gets, bytes."""


def sent_payload(message_id: int, timestamp: int, seq: int = 0) -> bytes:
    """Return the payload that answers an MS: id and server time in ms, 8 bytes each (section 6).

    The seq of the message in its sender's inbox follows, 0 if it has none. Only the connector reads it.
    """
    return _THREE_LONGS.pack(message_id, timestamp, seq)


def sent_seq(payload: bytes) -> int:
    """Return the seq in a payload made by `sent_payload`."""
    return int.from_bytes(payload[SENT_BYTES:], "big")


def long_payload(value: int) -> bytes:
    """Return 8 bytes: the body of FRN, FN and UN (section 7)."""
    return _LONG.pack(value)


def check_whole(message: Message) -> None:
    """Raise DecodeError when a parsed message lacks a required field, or when `check_fields` finds a fault.

    The parser of the runtime accepts all of these.
    """
    check_fields(message)  # first: it does not go through a list that is too long
    if not message.IsInitialized():
        raise DecodeError(f"a {message.DESCRIPTOR.name} lacks a required field")


_TEXT_NAMES = [
    field.name
    for field in pb.MessageContent.DESCRIPTOR.fields
    if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
]
_texts_of = attrgetter(*_TEXT_NAMES)


def check_content(content: pb.MessageContent) -> None:
    """Do the same as `check_fields`, but faster for a message without faults."""
    try:
        "".join(_texts_of(content))
    except TypeError:  # one of them is bytes
        check_fields(content)
    if content.mentioned_target:
        check_fields(content)


def check_fields(message: Message) -> None:
    """Raise DecodeError when a list has more than MAX_ITEMS, or a string is not UTF-8 (the runtime gives bytes)."""
    for field, value in message.ListFields():
        if type(value) is str or type(value) is int:
            continue  # most fields; asking for their type costs more than all the rest
        if field.is_repeated and len(value) > MAX_ITEMS:
            raise DecodeError(f"{field.full_name} has {len(value)} items")
        if field.type == FieldDescriptor.TYPE_STRING:
            for text in value if field.is_repeated else (value,):
                if not isinstance(text, str):
                    raise DecodeError(f"{field.full_name} is not UTF-8")
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in value if field.is_repeated else (value,):
                check_fields(inner)
