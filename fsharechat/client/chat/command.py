"""The commands of the terminal client, and completions for the line that the user is typing."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fsharechat.client.chat.talk import Talk
from fsharechat.client.chat.words import EVERYBODY, quoted
from fsharechat.protocol.signals import ConversationType


def nothing(talk: Talk, words: list[str]) -> Iterable[str]:
    """Propose nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class Command:
    """`run` gets the text after the name. It raises CommandRefused, Ambiguous or ClientError if it cannot be done.

    `complete` gets the words before the one being typed, and returns all possible words there. `paths` says that the
    rest is the path of a file.
    """

    name: str
    arguments: str
    help: str
    run: Callable[[Talk, str], Awaitable[None]]
    complete: Callable[[Talk, list[str]], Iterable[str]] = nothing
    paths: bool = False


MAX_PATHS = 200

Proposal = tuple[str, int]
"""A text, and the number of characters before the cursor that it replaces."""


async def complete(talk: Talk, commands: Mapping[str, Command], line: str) -> list[Proposal]:
    """Return the possible completions of the line that is being typed."""
    if not line.startswith("/"):
        return _mentions(talk, line)
    name, space, rest = line[1:].partition(" ")
    if not space:
        return [(f"/{known} ", len(line)) for known in commands if known.startswith(name)]
    command = commands.get(name)
    if command is None:
        return []
    if command.paths:
        return [(path, len(rest)) for path in await asyncio.to_thread(_paths, rest)]
    words, last = _cut(rest)
    start = last.lstrip("\"'")
    return [
        (quoted(found) + " ", len(last))
        for found in sorted(set(command.complete(talk, words)))
        if found.casefold().startswith(start.casefold())
    ]


def _mentions(talk: Talk, line: str) -> list[Proposal]:
    before, at, start = line.rpartition("@")
    if not at or talk.open is None or talk.open.type != ConversationType.GROUP:
        return []
    if before and not before[-1].isspace():
        return []
    members = [talk.people.name(uid) for uid in talk.rooms.members_known(talk.open.target) if uid != talk.me]
    return [
        (f"@{name} ", len(start) + 1)
        for name in [*sorted(members), EVERYBODY[0]]
        if name.casefold().startswith(start.casefold())
    ]


def _cut(rest: str) -> tuple[list[str], str]:
    """Return the words before the last one, and the last one unchanged, with an open quotation mark."""
    words: list[str] = []
    word = ""
    quote = ""
    for c in rest:
        if quote:
            quote = "" if c == quote else quote
            word += c
        elif c in "\"'":
            quote = c
            word += c
        elif c.isspace():
            if word:
                words.append(word.strip("\"'"))
            word = ""
        else:
            word += c
    return words, word


def _paths(start: str) -> list[str]:
    """Return the paths with this beginning. Folders end in a slash."""
    folder, slash, name = start.rpartition("/")
    base = Path(folder + slash).expanduser() if slash else Path()
    found: list[str] = []
    try:
        with os.scandir(base) as entries:
            for entry in entries:
                if entry.name.startswith(name) and (name.startswith(".") or not entry.name.startswith(".")):
                    found.append(f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}")
                if len(found) == MAX_PATHS:
                    break
    except OSError:
        return []
    return sorted(found)
