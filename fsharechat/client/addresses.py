"""The addresses of a client's servers, used in a circle."""

from collections.abc import Sequence
from itertools import cycle

from fsharechat.client.options import Options
from fsharechat.client.transport import Body, Transport
from fsharechat.client.transport_tcp import TcpTransport
from fsharechat.client.transport_ws import WebSocketTransport
from fsharechat.protocol.signals import Signal, SubSignal


class Addresses:
    def __init__(
        self, me: str, options: Options, *, tcp: str | Sequence[str] | None, ws: str | Sequence[str] | None
    ) -> None:
        """Exactly one of `tcp` and `ws` is given. Raises ValueError, also for a bad address."""
        given = tcp if tcp is not None else ws
        if given is None or (tcp is not None and ws is not None):
            raise ValueError("say either tcp or ws")
        addresses = [given] if isinstance(given, str) else list(given)
        if not addresses:
            raise ValueError("say at least one address")
        self._me = me
        self._options = options
        self._over_tcp = tcp is not None
        transports = [self._transport_to(address) for address in addresses]  # report a wrong address now
        self._unopened = transports[0]
        self._circle = cycle(addresses)
        self.current = ""
        """The address that was tried last, "" before the first."""

    def next_transport(self) -> Transport:
        """Return a transport to the next address, not opened yet."""
        self.current = next(self._circle)
        return self._transport_to(self.current)

    def check(self, sub_signal: SubSignal, body: Body) -> None:
        """Raise the error of a connection for a request that cannot be sent: ValueError, TooLarge."""
        self._unopened.encode(Signal.PUBLISH, sub_signal, 0, body)

    def _transport_to(self, address: str) -> Transport:
        options = self._options
        if self._over_tcp:
            return TcpTransport(
                address, tls=options.tls, max_frame=options.max_frame, max_request=options.max_request
            )
        return WebSocketTransport(
            address,
            self._me,
            heartbeat_interval=options.heartbeat_interval,
            tls=options.tls,
            max_frame=options.max_frame,
            max_request=options.max_request,
        )
