"""What administrators may do: the roles, and how a request of the back office says who asks."""

from enum import IntEnum
from typing import Literal, NotRequired, TypedDict


class AdminRole(IntEnum):
    """Each role may do what the ones before it may."""

    READ = 1
    """Sees everything and changes nothing."""
    PEOPLE = 2
    """Changes users, their sessions, and groups."""
    ALL = 3
    """Changes words, sends messages, and makes administrators."""


class AskedBy(TypedDict):
    """Who asks for an operation, told by an api process, which has checked the key or found the cookie.

    `session`: the digest of the cookie's secret, in hex, "" with the key. `needs`: the AdminRole that it takes.
    `changes`: whether it goes into the audit log, under the name `request`, with `target` and `details`.
    `goes_on`: it is a later step of a request, for which there is an entry already.
    """

    way: Literal["key", "command", "account"]
    session: str
    needs: int
    changes: bool
    request: str
    target: str
    details: dict[str, object]
    address: str
    goes_on: NotRequired[bool]


BY_SESSION = "by session"
"""The operation around one that is asked with a session: it is `asked`, and a group process of a version that cannot
check sessions knows no such operation.
"""
