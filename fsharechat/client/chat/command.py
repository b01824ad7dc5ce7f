"""What a command of the terminal client is."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fsharechat.client.chat.talk import Talk


def nothing(talk: Talk, words: list[str]) -> Iterable[str]:
    """Propose nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets what follows the name, and raises CommandRefused, Ambiguous or ClientError for what cannot be done.

    `complete` gets the words before the one being typed and returns all that could stand there; `paths` says that
    the rest is the path of a file.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    complete: Callable[[Talk, list[str]], Iterable[str]] = nothing
    paths: bool = False
