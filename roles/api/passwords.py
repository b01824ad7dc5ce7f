"""Passwords of administrators, hashed by argon2 in a thread of their own: one at a time, and few may wait."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

MAX_WAITING = 8

MEMORY_KIB, PASSES, LANES = 47_104, 1, 1
"""The first of the settings that OWASP names for Argon2id: 46 MiB, some 50 ms."""


class PasswordsBusy(Exception):
    """Too many passwords wait to be hashed."""


class Passwords:
    """Hashes and checks. A password never leaves the process that it was sent to."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(PASSES, MEMORY_KIB, LANES)
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._under_way = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return the text to keep. Raises PasswordsBusy."""
        return await self._beside(lambda: self._hasher.hash(password))

    async def matches(self, kept: str, password: str) -> bool:
        """Return whether a password is the one of a kept text. Raises PasswordsBusy.

        For the empty text of a name that nobody has it takes as long, and is False.
        """
        return await self._beside(lambda: self._matches(kept, password))

    def _matches(self, kept: str, password: str) -> bool:
        if self._nobodys is None:
            self._nobodys = self._hasher.hash("nobody's")
        try:
            return self._hasher.verify(kept or self._nobodys, password) and bool(kept)
        except (VerificationError, InvalidHashError):
            return False

    async def _beside(self, work: Callable[[], T]) -> T:
        if self._under_way > MAX_WAITING:
            raise PasswordsBusy
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
