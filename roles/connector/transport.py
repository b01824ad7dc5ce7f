"""The interface of a connection, over TCP or WebSocket, for its session."""

from typing import Protocol

from roles.connector.tail import TailMessage


class DeviceTransport(Protocol):
    """The part of a connection that a session needs. No method blocks or raises. After `close` nothing is sent."""

    peer: str
    answer_bytes: int
    """The largest size of the pieces of one answer to an MP, bytes (contract.md section 6)."""
    silence_seconds: float
    """The connection counts as dead after so many seconds without a byte from the client."""

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None: ...
    def send_reply(
        self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes
    ) -> None: ...
    def piece(self, message: TailMessage) -> bytes:
        """Return a message in the form that `send_pulled` takes."""

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None: ...
    def send_notification(self, sub_signal: int, body: bytes) -> None: ...
    def send_ping(self, message_id: int, interval_ms: int) -> None: ...
    def unsent(self) -> bool:
        """Return whether the client's machine has still to take some bytes, as far as that is known."""

    def authenticating(self) -> None: ...
    def authenticated(self, uid: str) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...
