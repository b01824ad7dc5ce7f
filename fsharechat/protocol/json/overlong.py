"""What the beginning of a text says that was too long to be kept (contract.md section 8)."""

import re

from fsharechat.protocol.frames import OVERLONG, Frame
from fsharechat.protocol.json.reading import JsonError, integer, loads
from fsharechat.protocol.json.requests import signal_of, sub_signal_of
from fsharechat.protocol.signals import Signal

_FIELD = r'\s*"(?:signal|subSignal|messageId)"\s*:\s*(?:"[^"\\]*"|[-+.0-9eE]+)\s*'
_HEAD = re.compile(rf"\s*\{{{_FIELD}(?:,{_FIELD})*(?=,)")


def decode_overlong(start: str) -> Frame | None:
    """Return the frame that stands for a PUBLISH which was read past, with OVERLONG as its signal.

    None where the beginning does not say all that an answer needs: signal, sub-signal and message id. Web clients
    write them before `content` (section 2).
    """
    head = _HEAD.match(start)
    if head is None:
        return None
    try:
        request = loads(head[0] + "}")
        message_id = integer(request, "messageId")
    except JsonError:
        return None
    if (
        signal_of(request) != Signal.PUBLISH
        or not (sub_signal := sub_signal_of(request))
        or "messageId" not in request
    ):
        return None
    return Frame(OVERLONG, sub_signal, message_id, b"")
