"""The store as the roles see it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate

from fsharechat.errors import StoreError
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.unit import Dialect, P, T, Unit

Done = Callable[[Stored | StoreError], None]


@dataclass(slots=True)
class StoreStats:
    """What the writer did since the start: for the metrics."""

    batches: int = 0
    messages: int = 0
    units: int = 0
    failed: int = 0


class Store(ABC):
    """Owns the truth: runs units of work and appends messages, many in one transaction."""

    dialect: Dialect
    stats: StoreStats

    @abstractmethod
    async def open(self) -> None:
        """Bring the schema up to date and be ready. Raises StoreError."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was taken and let go. What comes later gets StoreError."""

    @abstractmethod
    async def read(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit that only reads. Raises StoreError."""

    @abstractmethod
    async def write(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a transaction, which it may share with others; return when it is durable.

        An exception of the unit undoes that unit alone and is raised here. Raises StoreError.
        """

    @abstractmethod
    def append(self, message: NewMessage, done: Done) -> None:
        """Store a message and its inbox entries with the next group commit, in the order of the calls.

        `done` is called on the loop once the message is durable, with where it went, or with what failed.
        Raises StoreBusy when too much waits already.
        """
