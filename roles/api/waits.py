"""Addresses that the store has refused, so that it need not be asked again too early."""

from time import monotonic

MAX_ADDRESSES = 50_000
"""How many addresses are kept. Beyond, the one refused first is forgotten."""


class Waits:
    """How long addresses must wait. It is no limit of its own: the store refuses forgotten addresses again."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def refuse(self, address: str, milliseconds: int) -> None:
        """Let an address wait so long; 0: not at all."""
        self._until.pop(address, None)
        if milliseconds <= 0:
            return
        self._until[address] = monotonic() + milliseconds / 1000
        if len(self._until) > MAX_ADDRESSES:
            del self._until[next(iter(self._until))]

    def seconds(self, address: str) -> float:
        """Return how long an address must still wait; 0: it may ask."""
        until = self._until.get(address)
        if until is None:
            return 0.0
        left = until - monotonic()
        if left <= 0:
            del self._until[address]
        return max(0.0, left)
