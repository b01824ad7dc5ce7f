"""The knobs of a client, with their defaults and units."""

import math
import random
import ssl
from dataclasses import dataclass, fields

from fsharechat.protocol.signals import Code

_MAY_BE_ZERO = frozenset(
    {"send_limit", "unexplained_retries", "backoff_first", "backoff_max", "backoff_reset"}
)


@dataclass(frozen=True, slots=True)
class Options:
    """How a client behaves. Times are seconds.

    The defaults suit an application on the Internet; `Options.fast()` suits tests against a local server.
    """

    connect_timeout: float = 10.0
    """For one attempt: open the socket and get the CONNECT_ACK."""
    request_timeout: float = 10.0
    """For the answer to one request; also how long a request waits for a connection when there is none."""
    send_timeout: float = 60.0
    """How long `send` goes on resending a message before it gives up."""
    send_limit: int = 100
    """Messages that the server takes in `send_limit_seconds` ([limits] requests); 0: any number.

    `send` waits to stay below.
    """
    send_limit_seconds: float = 5.0
    """The time that `send_limit` is counted over ([limits] seconds)."""
    retry_codes: frozenset[Code] = frozenset({Code.SERVER_ERROR, Code.TIMEOUT, Code.TOO_OFTEN})
    """Refusals after which `send` tries again: too often, and those that do not say if the message is stored."""
    unexplained_retries: int = 3
    """How often `send` tries again after refusals without a code, as they are over WebSocket, before it raises.

    With the default delays a refusal that is final is raised after two to four seconds.
    """
    ping_interval: float = 30.0
    """Between two PINGs over TCP (contract.md section 4)."""
    ping_timeout: float = 15.0
    """For the answer to a PING; without it the connection counts as lost."""
    heartbeat_interval: float = 25.0
    """Between two heartbeats over WebSocket (contract.md section 2)."""
    reconnect: bool = True
    """Whether to connect again when a connection is lost.

    A server closes the connection that a newer one of the same client id replaces, and does not say so: with
    two clients of one client id, both set to reconnect, they replace each other for ever. Turn it off where that
    can happen; the client then ends with Disconnected.
    """
    backoff_first: float = 0.5
    """The delay before the first attempt to reconnect; it doubles with each attempt. Half of it is random."""
    backoff_max: float = 30.0
    """The longest delay."""
    backoff_reset: float = 10.0
    """A connection that stood this long makes the delays start from the first one again."""
    message_queue: int = 1000
    """Messages held for the application; while so many wait, nothing more is pulled."""
    event_queue: int = 1000
    """Events held for the application; beyond it the oldest is dropped and counted in `dropped_events`."""
    report_delivery: bool = False
    """Whether to tell the senders of private messages that they have arrived (MDR), in the background."""
    follow_reports: bool = False
    """Whether to learn what others received and read: MessagesDelivered and MessagesRead in place of ReportsChanged.

    Their last reports in all conversations come at the first connection, and what was missed at each later one.
    """
    media_timeout: float = 30.0
    """How long an upload or a download may stand still."""
    remember_ids: int = 100_000
    """How many message ids are remembered, so that each message is yielded once, and a recalled one as recalled."""
    max_request: int = 1 << 20
    """The longest request that the server takes, bytes as they are sent ([connector] max_body_bytes)."""
    max_frame: int = 16 << 20
    """The largest answer accepted, bytes."""
    tls: ssl.SSLContext | None = None
    """For TLS: over TCP it turns TLS on, over WebSocket it goes with a wss:// address."""

    @classmethod
    def fast(cls) -> "Options":
        """Return options for tests: short delays between attempts, no limit of sends, the rest as by default."""
        return cls(backoff_first=0.02, backoff_max=0.2, backoff_reset=1.0, send_limit=0)

    def __post_init__(self) -> None:
        """Raises TypeError and ValueError for what no client could work with."""
        for field in fields(self):
            default, value = field.default, getattr(self, field.name)
            if isinstance(default, bool):
                if not isinstance(value, bool):
                    raise TypeError(f"{field.name} is true or false, not {value!r}")
            elif isinstance(default, int | float):
                if isinstance(value, bool) or not isinstance(
                    value, int if isinstance(default, int) else int | float
                ):
                    raise TypeError(f"{field.name} is a number, not {value!r}")
                least = 0 if field.name in _MAY_BE_ZERO else math.ulp(0.0)
                if not least <= value < math.inf:
                    raise ValueError(f"{field.name} is too small or too large: {value!r}")


class Backoff:
    """Exponential delays with jitter, so that many clients of a restarted server do not come back at once."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._delay = first

    def reset(self) -> None:
        self._delay = self._first

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        delay = min(self._delay, self._longest)
        self._delay = delay * 2
        return delay * random.uniform(0.5, 1.0)
