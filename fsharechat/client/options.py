"""The options of a client, with defaults and units."""

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
    """The options of a client. Times are in seconds.

    The defaults suit an application on the Internet; `Options.fast()` suits tests against a local server.
    """

    connect_timeout: float = 10.0
    """The time for one attempt: to open the socket and get the CONNECT_ACK."""
    request_timeout: float = 10.0
    """The time for the answer to one request, also while it waits for a connection."""
    send_timeout: float = 60.0
    """How long `send` goes on resending a message before it gives up."""
    send_limit: int = 100
    """How many messages the server takes in `send_limit_seconds` ([limits] requests). 0: any number.

    `send` waits to stay below.
    """
    send_limit_seconds: float = 5.0
    """The time over which `send_limit` is counted ([limits] seconds)."""
    retry_codes: frozenset[Code] = frozenset({Code.SERVER_ERROR, Code.TIMEOUT, Code.TOO_OFTEN})
    """Refusals after which `send` tries again: too often, and codes that leave open whether the message is stored."""
    unexplained_retries: int = 3
    """How often `send` tries again after refusals without a code, as over WebSocket, before it raises.

    With the default delays a final refusal is raised after two to four seconds.
    """
    ping_interval: float = 30.0
    """The time between two PINGs over TCP (contract.md section 4)."""
    ping_timeout: float = 15.0
    """The time for the answer to a PING. Without an answer the connection counts as lost."""
    heartbeat_interval: float = 25.0
    """The time between two heartbeats over WebSocket (contract.md section 2)."""
    reconnect: bool = True
    """Whether to connect again when a connection is lost.

    A new connection replaces an older one of the same client id: the server closes the older one without a reason. So
    two clients with one client id that both reconnect replace each other for ever. Turn this off where that can
    happen; the client then ends with Disconnected.
    """
    backoff_first: float = 0.5
    """The delay before the first attempt to reconnect. It doubles with each attempt. Half of it is random."""
    backoff_max: float = 30.0
    """The longest delay."""
    backoff_reset: float = 10.0
    """After a connection that lasted so long, the delays start from the first one again."""
    message_queue: int = 1000
    """How many messages may wait for the application. While so many wait, nothing more is pulled."""
    event_queue: int = 1000
    """How many events may wait for the application. Beyond, the oldest is dropped and counted in `dropped_events`."""
    report_delivery: bool = False
    """Whether to tell the senders of private messages that they have arrived (MDR), in the background."""
    follow_reports: bool = False
    """Whether to pull the reports of others: MessagesDelivered and MessagesRead come in place of ReportsChanged.

    The first connection brings the last reports of all conversations, each later one the missed ones.
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
    """The TLS context. Over TCP it turns TLS on; over WebSocket it is used with a wss:// address."""

    @classmethod
    def fast(cls) -> "Options":
        """Return options for tests: short delays between attempts, no limit of sends, else the defaults."""
        return cls(backoff_first=0.02, backoff_max=0.2, backoff_reset=1.0, send_limit=0)

    def __post_init__(self) -> None:
        """Check the options. Raises TypeError and ValueError for unusable values."""
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
