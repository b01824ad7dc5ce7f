"""Devices that a broken frame may have made deaf (contract.md section 1), and how they are freed.

Android and iOS keep their parser over reconnects. If they got only a part of a frame, they take the bytes of the next
connection for its rest. Zeros as long as the missing part end that; the client skips more zeros. The server cannot
know how much the device has read, only what its kernel has not acknowledged. So the whole frame counts as missing. A
device that connects to another connector process is not known there.
"""

from __future__ import annotations

DEAF_SECONDS = 15.0
"""A device is deaf if it connects a second time so soon after the break, s, and has said nothing yet."""

SMALL = 4 * 1024
"""Frames that were written together in up to so many bytes are not remembered: so many may always be missing."""

PAUSE_SECONDS = 0.3
"""Time between the answer to the PING after the zeros and the CONNECT_ACK: Android reads on only in a new chunk."""

MOST = 100_000
"""How many breaks are kept. Beyond, the oldest is forgotten."""

DeviceKey = tuple[str, str]
"""User and client id."""


class Break:
    """A connection that broke inside a frame, of which up to `missing` bytes did not arrive."""

    __slots__ = ("connects", "device", "missing", "until")

    def __init__(self, device: DeviceKey, missing: int, until: float, connects: int) -> None:
        self.device = device
        self.missing = missing
        self.until = until
        self.connects = connects


class Breaks:
    """The connections that broke a short time ago, by device."""

    def __init__(self) -> None:
        self._breaks: dict[DeviceKey, Break] = {}

    def __len__(self) -> int:
        return len(self._breaks)

    def broke(self, device: DeviceKey, missing: int, now: float, *, back: bool) -> None:
        """Note a break. `back`: the device has a new connection already."""
        connects = int(back)
        known = self._breaks.pop(device, None)
        if known is not None and now <= known.until:  # the device may be deaf from before
            missing, connects = max(missing, known.missing), max(connects, known.connects)
        self._breaks[device] = Break(device, missing, now + DEAF_SECONDS, connects)
        if len(self._breaks) > MOST:
            del self._breaks[next(iter(self._breaks))]

    def connected(self, device: DeviceKey, now: float) -> Break | None:
        """Count a connection. Return the break before it, if the device may be deaf."""
        known = self._breaks.get(device)
        if known is None:
            return None
        if now > known.until:
            self.hears(known)
            return None
        known.connects += 1
        return known

    def hears(self, known: Break) -> None:
        """Note that the device is not deaf: it sent more than CONNECT and PING, or has been freed."""
        if self._breaks.get(known.device) is known:
            del self._breaks[known.device]

    def forget_old(self, now: float) -> None:
        while self._breaks:
            oldest = next(iter(self._breaks.values()))
            if oldest.until >= now:
                return
            self.hears(oldest)
