"""Events, one way: from group processes to connectors, from connectors to group processes, and among the latter.

The bus may lose events and may repeat them; what must not be lost is in the store, and the head check of the
connectors finds it (docs/decisions/who-owns-what.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fsharechat.renewal import Renewable
from fsharechat.store.messages import Entry
from fsharechat.tuples import maker


class BusError(Exception):
    """The bus cannot be reached; the text says why."""


class BusAway(BusError):
    """Nobody answers there for now: the settings may be right."""


class Deliver(NamedTuple):
    """A stored message, once, and the inbox entries it is for on one node.

    `sender_client` is the device that sent it: it knows the message already. Empty for the server's own messages.
    `message_id` is the id that the body has, too: the connector's own ids go on above it.
    """

    body: bytes
    entries: Sequence[Entry]
    sender: str
    sender_client: str
    message_id: int = 0


make_deliver = maker(Deliver)


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


class Resync(NamedTuple):
    """A group process has never heard that the node began: the connector says again where all its devices are.

    What was announced may have been lost by the bus for good, as by a Kafka that came back empty.
    """


Event = Deliver | Push | Notify | Recalled | Reported | Kick | Resync


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


class Bus(Renewable, ABC):
    """Each `on_…` is called on the loop and must neither block nor raise.

    While the bus is away everything goes on: what was asked of it begins when it is back.
    """

    @property
    @abstractmethod
    def away(self) -> str:
        """Why it carries nothing for now; "" while it does."""

    @abstractmethod
    async def look(self) -> str:
        """Look whether it can be reached, and change nothing. Return what is missing and will be made, or "".

        Raises BusError.
        """

    @abstractmethod
    async def open(self) -> None:
        """Be ready to carry events, or to do so once it is back. Raises BusError where that is not all it takes."""

    @abstractmethod
    async def close(self) -> None:
        """Hand over what was published, within a bound, and let go."""

    @abstractmethod
    def write_for(self, version: int) -> None:
        """Write so that processes that read this version understand it, from now on."""

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
    async def watch_presence(
        self, on_presence: Callable[[Presence], None], on_whole: Callable[[], None] | None = None
    ) -> None:
        """Hear where devices are.

        Returns when all that was announced before has been heard, and tells so to `on_whole`. While the bus is away
        it returns at once, and tells so later.
        """

    @abstractmethod
    def invalidate(self, keys: Iterable[str]) -> None:
        """Tell every group process, this one too, that what it cached under `keys` has changed."""

    @abstractmethod
    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        """Hear what to drop from the caches."""
