"""The payload of Method.PULL: the group role's answer to a connector that reads an inbox for a device."""

from struct import Struct

from fsharechat.store.messages import PulledEntry, PulledInbox

_HEAD = Struct(">qq")
_ENTRY = Struct(">qHHI")


def encode(pulled: PulledInbox) -> bytes:
    parts = [_HEAD.pack(pulled.head, pulled.begin)]
    for seq, sender, sender_client, body in pulled.entries:
        first, second = sender.encode(), sender_client.encode()
        parts += (_ENTRY.pack(seq, len(first), len(second), len(body)), first, second, body)
    return b"".join(parts)


def decode(payload: bytes) -> PulledInbox:
    head, begin = _HEAD.unpack_from(payload)
    entries: list[PulledEntry] = []
    at = _HEAD.size
    while at < len(payload):
        seq, first, second, size = _ENTRY.unpack_from(payload, at)
        at += _ENTRY.size
        body = at + first + second
        sender, sender_client = payload[at : at + first], payload[at + first : body]
        at = body + size
        entries.append(PulledEntry(seq, sender.decode(), sender_client.decode(), payload[body:at]))
    return PulledInbox(entries, head, begin)
