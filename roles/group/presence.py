"""Which nodes have devices of a user, as the presence events tell."""

from fsharechat.bus import OFFLINE, Presence


class PresenceTable:
    """Takes presence events in any order: of two about one device the later epoch counts."""

    def __init__(self) -> None:
        self._devices: dict[str, dict[str, Presence]] = {}
        self._nodes: dict[str, tuple[int, ...]] = {}

    def update(self, presence: Presence) -> None:
        devices = self._devices.setdefault(presence.uid, {})
        known = devices.get(presence.client_id)
        if known is None or presence.epoch >= known.epoch:
            if presence.node == OFFLINE:
                devices.pop(presence.client_id, None)
            else:
                devices[presence.client_id] = presence
        if devices:
            self._nodes[presence.uid] = tuple({device.node for device in devices.values()})
        else:
            del self._devices[presence.uid]
            self._nodes.pop(presence.uid, None)

    def nodes(self, uid: str) -> tuple[int, ...]:
        """Return the nodes that have a device of the user, in no order."""
        return self._nodes.get(uid, ())
