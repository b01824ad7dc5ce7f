"""Texts of the terminal client: errors in plain language, times, sizes, and the words of a command."""

import shlex
import time

from fsharechat.client.errors import (
    AlreadyRequested,
    ClientError,
    Disconnected,
    NoRight,
    NotExist,
    NotInGroup,
    RequestBlocked,
    RequestError,
    RequestTimeout,
    SendUnconfirmed,
    Unsupported,
)

EVERYBODY = ("all", "所有人")
"""The names that call all members of a group."""


class Quit(Exception):
    """The user wants to leave."""


class CommandRefused(Exception):
    """A command cannot be done. The text says why in plain words."""


class Ambiguous(Exception):
    """Several people or groups have that name; the argument lists them."""


def plain(error: ClientError | OSError) -> str:
    """Return an error in plain words for the person at the terminal."""
    match error:
        case AlreadyRequested():
            return "You have asked already; wait for the answer."
        case RequestBlocked():
            return "Your request was rejected not long ago; you cannot ask again yet."
        case NotInGroup():
            return "You are not a member of that group."
        case NoRight():
            return "You may not do that; the owner of the group may."
        case NotExist():
            return "The server does not know it."
        case Unsupported():
            return "This server cannot do that."
        case RequestError(code=None):
            return "The server says no; over WebSocket it does not say why."
        case RequestError():
            return f"The server says no: {error.meaning}."
        case SendUnconfirmed():
            return "The server did not confirm it; it may or may not have arrived."
        case RequestTimeout():
            return "The server does not answer."
        case Disconnected():
            return "There is no connection to the server now."
        case OSError():
            name = f"{error.filename}: " if error.filename else ""
            return f"{name}{error.strerror or error}."
        case _:
            text = str(error)
            return f"{text[:1].upper()}{text[1:]}."


def clock(ms: int) -> str:
    """Return the local time of day, with the date if it was not today."""
    moment = time.localtime(ms / 1000)
    today = time.localtime()[:3] == moment[:3]
    return time.strftime("%H:%M" if today else "%Y-%m-%d %H:%M", moment)


def size(count: int) -> str:
    """Return a number of bytes for people: 12.3 MB."""
    amount = float(count)
    for unit in ("bytes", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


def listed(names: list[str], most: int = 5) -> str:
    """Return "A, B and C". If there are too many, the rest is a number."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def split(rest: str) -> list[str]:
    """Return the words of a command. "Quotes" keep a name with spaces together. Raises CommandRefused."""
    try:
        return shlex.split(rest)
    except ValueError:
        raise CommandRefused(
            "A closing quotation mark is missing: write names with spaces between two."
        ) from None


def unquoted(rest: str) -> str:
    """Return a name that is the whole rest of a command, with or without quotes."""
    return rest[1:-1] if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "'\"" else rest


def quoted(name: str) -> str:
    """Return a name in the form in which a command takes it."""
    return f'"{name}"' if any(c.isspace() for c in name) else name
