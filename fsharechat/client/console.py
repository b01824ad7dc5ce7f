"""Where the terminal client reads and writes: a terminal with a prompt that stays below, or plain lines."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.patch_stdout import patch_stdout


class Console(Protocol):
    def lines(self, prompt: Callable[[], str]) -> AsyncIterator[str]:
        """Yield what the user enters until the end of input."""

    async def ask(self, question: str) -> str:
        """Ask one question. Raises EOFError at the end of input."""

    def say(self, text: str) -> None:
        """Show a line, above the prompt if there is one."""

    def refresh(self) -> None:
        """Show the prompt anew: what it says may have changed."""

    def guard(self) -> AbstractContextManager[None]:
        """Enter it before anything is shown."""


class Terminal:
    """A terminal: incoming lines appear above the one being typed."""

    def __init__(self) -> None:
        self._session: PromptSession[str] = PromptSession(erase_when_done=True)

    async def lines(self, prompt: Callable[[], str]) -> AsyncIterator[str]:
        while True:
            try:
                line = await self._session.prompt_async(lambda: ANSI(f"\x1b[1m{prompt()}\x1b[0m "))
            except (EOFError, KeyboardInterrupt):
                return
            yield line

    async def ask(self, question: str) -> str:
        try:
            answer: str = await self._session.prompt_async(question)
        except KeyboardInterrupt:
            raise EOFError from None
        return answer

    def say(self, text: str) -> None:
        print(text, flush=True)

    def refresh(self) -> None:
        self._session.app.invalidate()

    def guard(self) -> AbstractContextManager[None]:
        return patch_stdout()


class Pipe:
    """No terminal: lines in and lines out, for scripts."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._ended = False

    async def lines(self, prompt: Callable[[], str]) -> AsyncIterator[str]:
        while True:
            try:
                yield await self.ask("")
            except EOFError:
                return

    async def ask(self, question: str) -> str:
        while b"\n" not in self._buffer:
            if self._ended:
                if not self._buffer:
                    raise EOFError
                break
            data = await self._read()
            self._ended = not data
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").rstrip("\r")

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:
            return os.read(self._descriptor, 65536)  # a file: it cannot be waited for and never blocks
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, 65536)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def refresh(self) -> None:
        pass

    def guard(self) -> AbstractContextManager[None]:
        return nullcontext()


def console() -> Console:
    """Return the console that fits how the program was started."""
    return Terminal() if sys.stdin.isatty() and sys.stdout.isatty() else Pipe()
