"""Events, one way: from group processes to connectors, from connectors to group processes, and between group
processes.

The bus may lose events and may repeat them. Everything that must not be lost is in the store, and the head check of
the connectors finds it (docs/decisions/who-owns-what.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fsharechat.metrics import Metrics
from fsharechat.renewal import Renewable
from fsharechat.store.messages import Entry
from fsharechat.tuples import maker


class BusError(Exception):
    """The bus cannot be reached. The text says why."""


class BusAway(BusError):
    """The bus does not answer for now. The settings may be right."""


class Deliver(NamedTuple):
    """A stored message, once, with its inbox entries for one node.

    `sender_client` is the device that sent it: it knows the message already. It is empty for the server's own
    messages. `message_id` is also in the body. The connector's own ids go on above it.
    """

    body: bytes
    entries: Sequence[Entry]
    sender: str
    sender_client: str
    message_id: int = 0


make_deliver = maker(Deliver)


class Push(NamedTuple):
    """A transparent message, only for the devices of `uids` that are online now."""

    body: bytes
    uids: Sequence[str]


class PushTo(NamedTuple):
    """A transparent message to one device, if it is online now: what concerns a call is for no other one."""

    body: bytes
    sender: str
    uid: str
    client_id: str


class Notify(NamedTuple):
    """A notification of the contract (a PUBLISH) for the devices of one user, except `except_client`."""

    sub_signal: int
    body: bytes
    uid: str
    except_client: str = ""


class Recalled(NamedTuple):
    """A stored message has a new body: `operator` has recalled it, on the device `operator_client`.

    Each entry is a user who may have the message, and the seq of the recall for that user.
    """

    message_id: int
    body: bytes
    entries: Sequence[Entry]
    operator: str
    operator_client: str


class Edited(NamedTuple):
    """A stored message has a new body, because its sender `operator` has edited it. As Recalled."""

    message_id: int
    body: bytes
    entries: Sequence[Entry]
    operator: str
    operator_client: str


class Reported(NamedTuple):
    """Users have reports of a kind (ReportType) up to these seqs."""

    kind: int
    entries: Sequence[Entry]


class Kick(NamedTuple):
    """The session of a device must end, if its epoch is not above this one.

    The device has connected to another node, or an administrator ended it.
    """

    uid: str
    client_id: str
    epoch: int


class Resync(NamedTuple):
    """A group process never heard that the node began. The connector must announce all its devices again.

    The bus may have lost the announcements for good, as a Kafka that came back empty.
    """


Event = Deliver | Push | PushTo | Notify | Recalled | Edited | Reported | Kick | Resync


class Presence(NamedTuple):
    """The device `client_id` of `uid` is connected to `node`, or (`online` false) no longer.

    `epoch` grows with each connection of the node. Without uid and client id: the node begins, and has no device from
    before that epoch. This removes the sessions of a connector that was killed and started again.
    """

    uid: str
    client_id: str
    node: int
    epoch: int
    online: bool = True


class Bus(Renewable, ABC):
    """Each `on_…` is called on the loop and must neither block nor raise.

    While the bus is away everything goes on. Requests to it begin when it is back.
    """

    @property
    @abstractmethod
    def away(self) -> str:
        """Why it carries no events for now, "" while it does."""

    @abstractmethod
    async def look(self) -> str:
        """Check whether it can be reached, and change nothing. Return what is missing and will be made, or "".

        Raises BusError.
        """

    @abstractmethod
    async def open(self) -> None:
        """Be ready to carry events, now or once the bus is back. Raises BusError if waiting would not help."""

    @abstractmethod
    async def close(self) -> None:
        """Deliver the published events, within a bound, and close."""

    @property
    @abstractmethod
    def reaches_one_device(self) -> bool:
        """Whether all connectors carry out a PushTo. Those of the version before pass it over."""

    def publish(self, metrics: Metrics) -> None:
        """Publish its metrics. Within one process there are none: an event is taken by the call that sends it."""

    @abstractmethod
    def write_for(self, version: int) -> None:
        """Write events in this version from now on."""

    @abstractmethod
    def deliver(self, node: int, events: Sequence[Event]) -> None:
        """Send events to a connector, in order. One call has all events of a turn of the loop."""

    @abstractmethod
    async def serve_node(self, node: int, on_events: Callable[[Sequence[Event]], None]) -> None:
        """Receive the events for this process's connector from now on, without earlier ones."""

    @abstractmethod
    async def leave_node(self, node: int) -> None:
        """Stop receiving the events for a node."""

    @abstractmethod
    def announce(self, presence: Presence) -> None:
        """Tell every group process where a device is. News of one device arrive in order."""

    @abstractmethod
    async def watch_presence(
        self, on_presence: Callable[[Presence], None], on_whole: Callable[[], None] | None = None
    ) -> None:
        """Receive the places of devices.

        Returns when all earlier announcements have been heard, and then calls `on_whole`. While the bus is away it
        returns at once, and calls `on_whole` later.
        """

    @abstractmethod
    def invalidate(self, keys: Iterable[str]) -> None:
        """Tell every group process, this one too, that the values cached under `keys` have changed."""

    @abstractmethod
    async def watch_invalidations(self, on_keys: Callable[[Iterable[str]], None]) -> None:
        """Receive the keys to drop from the caches."""
