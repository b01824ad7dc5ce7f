"""What a session needs of the connection that carries it, over TCP as over WebSocket."""

from typing import Protocol

from roles.connector.tail import TailMessage


class DeviceTransport(Protocol):
    """What a session needs of its connection. Nothing here blocks or raises; after `close` nothing is sent."""

    peer: str
    answer_bytes: int
    """The most that the pieces of one answer to an MP weigh (contract.md section 6)."""
    silence_seconds: float
    """The connection is dead after so long without a byte from the client."""

    def send_connect_ack(self, sub_signal: int, payload: bytes) -> None: ...
    def send_reply(
        self, sub_signal: int, message_id: int, code: int, payload: bytes, request: bytes
    ) -> None: ...
    def piece(self, message: TailMessage) -> bytes:
        """Return a message as `send_pulled` wants it."""

    def send_pulled(self, message_id: int, pieces: list[bytes], current: int, head: int) -> None: ...
    def send_notification(self, sub_signal: int, body: bytes) -> None: ...
    def send_ping(self, message_id: int, interval_ms: int) -> None: ...
    def unsent(self) -> bool:
        """Return whether something has not been taken by the other side's machine yet, as far as that is known."""

    def authenticating(self) -> None: ...
    def authenticated(self, uid: str) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...
