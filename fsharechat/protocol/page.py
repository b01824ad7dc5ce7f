"""docs/requests.md, made from the table of requests; `scripts/requests` writes it."""

from collections.abc import Iterator

from fsharechat.protocol.shapes.payloads import Payload
from fsharechat.protocol.signals import Notification, RequestRow, SubSignal, Unserved

_HEAD = """\
# Requests

The rows of `fsharechat/protocol/signals.py`, as `scripts/requests` writes them here. Left of an arrow is the request,
right of it the answer: over TCP the protobuf message, over WebSocket the JSON. A refused request is a code over TCP.
Over WebSocket it is `{"code": 400, "message": "error", "result": null}` where the answer is "ok", else `""`.

- `"key": "…"` is a number of 64 bits, written as a string.
- `{message}`, `{pull}`: the objects of the contract, section 7.
- **numbered**: it stores a message, and the connector gives it its id.
- **follow-up**: its limit is `[limits] follow_ups`, not `requests`.
- **connector**: the connector answers it, and asks the group role only if it must.

"""


def page() -> str:
    """Return the text of docs/requests.md."""
    lines = ["| | | over TCP | over WebSocket | |", "|---|---|---|---|---|", *_requests()]
    lines += ["", "What the server tells by itself:", ""]
    lines += ["| | | over TCP | over WebSocket |", "|---|---|---|---|", *_notifications()]
    return _HEAD + "\n".join(lines) + "\n"


def _requests() -> Iterator[str]:
    for sub_signal in SubSignal:
        row = sub_signal.row
        if isinstance(row, RequestRow):
            asked, answered = row.request, row.reply
            tcp = f"{_tcp(asked)} → {_tcp(answered)}"
            web = f"{_code(asked.web)} → {_code(answered.web)}"
            kinds = {"numbered": row.numbered, "follow-up": row.follow_up, "connector": row.by_connector}
            which = ", ".join(kind for kind, holds in kinds.items() if holds)
            yield _line(f"{sub_signal.name} {sub_signal.value}", row.does, tcp, web, which)
        elif isinstance(row, Unserved):
            yield _line(f"{sub_signal.name} {sub_signal.value}", row.does, "→ code 254", '→ `""`', "")


def _notifications() -> Iterator[str]:
    for sub_signal in SubSignal:
        row = sub_signal.row
        if isinstance(row, Notification):
            told = row.payload
            yield _line(f"{sub_signal.name} {sub_signal.value}", row.does, _tcp(told), _code(told.web))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _tcp(payload: Payload) -> str:
    return payload.kind.DESCRIPTOR.name if payload.kind is not None else _code(payload.tcp)


def _code(text: str) -> str:
    return f"`{text}`" if text[0] in "{[" else text


if __name__ == "__main__":
    print(page(), end="")
