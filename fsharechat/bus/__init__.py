"""Events, one way: from group processes to connectors, from connectors to group processes, and among the latter.

The bus may lose events and may repeat them; what must not be lost is in the store, and the head check of the
connectors finds it (design: the life of a message).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fsharechat.store.messages import Entry


class BusError(Exception):
    """The bus cannot be reached; the text says why."""


class Deliver(NamedTuple):
    """A stored message, once, and the inbox entries it is for on one node.

    `sender_client` is the device that sent it: it knows the message already. Empty for the server's own messages.
    """

    body: bytes
    entries: Sequence[Entry]
    sender: str
    sender_client: str


class Push(NamedTuple):
    """A transparent message: to the devices of `uids` that are online now, and nowhere else."""

    body: bytes
    uids: Sequence[str]


class Notify(NamedTuple):
    """A notification of the contract (a PUBLISH) for the devices of one user, but not for `except_client`."""

    sub_signal: int
    body: bytes
    uid: str
    except_client: str = ""


class Recalled(NamedTuple):
    """A stored message has a new body, which says that `operator` has recalled it, by the device `operator_client`.

    Each entry is a user who may have the message, and the seq of the recall among those for that user.
    """

    message_id: int
    body: bytes
    entries: Sequence[Entry]
    operator: str
    operator_client: str


class Reported(NamedTuple):
    """Users have reports of a kind (ReportType) up to these seqs of their own."""

    kind: int
    entries: Sequence[Entry]


class Kick(NamedTuple):
    """The session of a device goes, if its epoch is not above this one.

    The device has connected to another node, or an administrator ended it.
    """

    uid: str
    client_id: str
    epoch: int


Event = Deliver | Push | Notify | Recalled | Reported | Kick


class Presence(NamedTuple):
    """The device `client_id` of `uid` is connected to `node`, or (`online` false) no longer.

    `epoch` grows with each connection that the node takes. Without a uid and a client id: the node begins, and has no
    device from before that epoch. A connector that is killed and started again leaves its sessions to be dropped so.
    """

    uid: str
    client_id: str
    node: int
    epoch: int
    online: bool = True


class Bus(ABC):
    """Each `on_…` is called on the loop and must neither block nor raise."""

    @abstractmethod
    async def open(self) -> None:
        """Be ready to carry events. Raises BusError."""

    @abstractmethod
    async def close(self) -> None:
        """Hand over what was published, within a bound, and let go."""

    @abstractmethod
    def deliver(self, node: int, events: Sequence[Event]) -> None:
        """Send events to a connector, in order; all that one turn of the loop has for it in one call."""

    @abstractmethod
    async def serve_node(self, node: int, on_events: Callable[[Sequence[Event]], None]) -> None:
        """Receive the events for this process's connector from now on, and none from before."""

    @abstractmethod
    async def leave_node(self, node: int) -> None:
        """Receive the events for a node no longer."""

    @abstractmethod
    def announce(self, presence: Presence) -> None:
        """Tell every group process where a device is; news of one device arrives in the order it happened."""

    @abstractmethod
    async def watch_presence(self, on_presence: Callable[[Presence], None]) -> None:
        """Hear where devices are; returns when all that was announced before has been heard."""

    @abstractmethod
    def invalidate(self, keys: Iterable[str]) -> None:
        """Tell every group process, this one too, that what it cached under `keys` has changed."""

    @abstractmethod
    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        """Hear what to drop from the caches."""
