"""The type of the terminal client's commands."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from fsharechat.client.chat.talk import Talk


def nothing(talk: Talk, words: list[str]) -> Iterable[str]:
    """Propose nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets the text after the name. It raises Refused, Ambiguous or ClientError if the command cannot be done.

    `complete` gets the words before the one being typed, and returns all possible words there. `paths` says that the
    rest is the path of a file.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    complete: Callable[[Talk, list[str]], Iterable[str]] = nothing
    paths: bool = False
