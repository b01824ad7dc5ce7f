"""One id for a request, the same in the logs of all processes: its `trace`.

It is made of what travels anyway. A request that stores a message has the id that its connector gave to the message:
it goes with the call, into the store, and with the event to the connectors of the receivers. Any other request has
the device and the number of its frame. A request over HTTP has a number that the api process gave to it.

The way of each request is logged at level debug. `TRACING.on` says whether that is so: the hot path looks there
first, so a log that is off costs nothing.
"""

import secrets

from fsharechat.rpc import Call

_HTTP_BITS = 48


class Tracing:
    """`on`: whether the log shows level debug (fsharechat/log.py sets it)."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = False


TRACING = Tracing()


def trace_of(call: Call) -> str:
    """Return the trace of a call: a text, because many programs round numbers of 63 bits."""
    if call.message_id:
        return str(call.message_id)
    if call.client_id:
        return f"{call.client_id}#{call.frame_id}"
    return http_trace(call.frame_id) if call.frame_id else ""


def http_number() -> int:
    """Return a number for a request over HTTP, which its calls have as their `frame_id`."""
    return secrets.randbits(_HTTP_BITS) or 1


def http_trace(number: int) -> str:
    """Return the trace of a request over HTTP with that number."""
    return f"http#{number:012x}"
