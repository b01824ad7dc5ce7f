"""Calls of MediaServer and MediaEvents as bytes. All of it is JSON: an array of the name and the arguments."""

from typing import Any

import orjson

from fsharechat import mediaserver
from fsharechat.mediaserver import Candidate, MediaEvents, MediaServer, MediaServerError

_OPERATIONS = frozenset({"join", "publish", "receive", "candidate", "leave", "has", "close_room"})
_EVENTS = frozenset({"on_candidate", "on_gone", "on_closed"})
_ERRORS: dict[str, type[MediaServerError]] = {
    kind.__name__: kind
    for kind in (
        MediaServerError,
        mediaserver.RoomFull,
        mediaserver.Busy,
        mediaserver.UnknownSender,
        mediaserver.BadOffer,
    )
}


def written(name: str, *arguments: object) -> bytes:
    """Return a call as bytes."""
    return orjson.dumps([name, *arguments], default=list)


async def carry_out(server: MediaServer, body: bytes) -> bytes:
    """Make the call that bytes are, and return the answer as bytes, also where it is a MediaServerError."""
    name, *arguments = orjson.loads(body)
    if name not in _OPERATIONS:
        return _failure(MediaServerError(f"there is no operation {name!r}"))
    try:
        return orjson.dumps({"result": await getattr(server, name)(*_with_candidate(name, arguments))})
    except MediaServerError as error:
        return _failure(error)


def tell(events: MediaEvents, body: bytes) -> None:
    """Make the call that bytes are. What a newer process tells, and nobody here knows, is passed over."""
    name, *arguments = orjson.loads(body)
    if name in _EVENTS:
        getattr(events, name)(*_with_candidate(name, arguments))


def result(payload: bytes) -> Any:
    """Return what was answered. Raises the MediaServerError that was raised there."""
    answer = orjson.loads(payload)
    if "error" in answer:
        raise _ERRORS.get(answer["error"], MediaServerError)(answer["text"])
    return answer["result"]


def _failure(error: MediaServerError) -> bytes:
    name = type(error).__name__
    return orjson.dumps({"error": name if name in _ERRORS else MediaServerError.__name__, "text": str(error)})


def _with_candidate(name: str, arguments: list[Any]) -> list[Any]:
    """Return the arguments as they were given: JSON makes an array of a candidate."""
    return [*arguments[:-1], Candidate(*arguments[-1])] if name.endswith("candidate") else arguments
