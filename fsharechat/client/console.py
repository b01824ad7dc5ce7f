"""Input and output of the terminal client: a terminal with a prompt at the bottom, or plain lines."""

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.patch_stdout import patch_stdout

from fsharechat.client.transcript import Transcript, printable

MENU_LINES = 6
"""How many lines below the prompt are kept for completions."""


_PIECE_BYTES = 65536


class Talker(Protocol):
    """The part of the chat that the console needs."""

    def prompt(self) -> str: ...

    def complete(self, line: str) -> Awaitable[list[tuple[str, int]]]:
        """Return the possible completions of the line, and how many characters each replaces."""

    def typing(self, line: str) -> None:
        """Called when the line has changed."""


class Console(Protocol):
    def lines(self, talker: Talker) -> AsyncIterator[str]:
        """Yield the lines that the user enters, until the end of input."""

    async def ask(self, question: str) -> str:
        """Ask one question. Raises EOFError at the end of input."""

    def say(self, text: str, *, key: int = 0, strong: bool = False) -> None:
        """Show a line, above the prompt if there is one. `key` names it for `change`; 0 is none."""

    def change(self, key: int, text: str) -> bool:
        """Replace a line by another text. Return False if the line is out of reach."""

    def refresh(self) -> None:
        """Show the prompt again: its text may have changed."""

    def guard(self) -> AbstractContextManager[None]:
        """Enter it before anything is shown."""


class Terminal:
    """A terminal: incoming lines appear above the typed one."""

    def __init__(self) -> None:
        self._session: PromptSession[str] = PromptSession(
            erase_when_done=True, complete_while_typing=False, reserve_space_for_menu=MENU_LINES
        )
        self._transcript = Transcript()

    async def lines(self, talker: Talker) -> AsyncIterator[str]:
        def changed(buffer: Buffer) -> None:
            talker.typing(buffer.text)

        self._session.default_buffer.on_text_changed += changed
        while True:
            try:
                line = await self._session.prompt_async(
                    lambda: ANSI(f"\x1b[1m{printable(talker.prompt())}\x1b[0m "), completer=_Completer(talker)
                )
            except (EOFError, KeyboardInterrupt):
                return
            yield line

    async def ask(self, question: str) -> str:
        try:
            answer: str = await self._session.prompt_async(question)
        except KeyboardInterrupt:
            raise EOFError from None
        return answer

    def say(self, text: str, *, key: int = 0, strong: bool = False) -> None:
        self._write(self._transcript.add(text, key=key, strong=strong))

    def change(self, key: int, text: str) -> bool:
        columns, rows = shutil.get_terminal_size()
        # The prompt and the lines kept below it have pushed the other lines up.
        rewritten = self._transcript.change(key, text, columns=columns, rows=rows - MENU_LINES - 2)
        if rewritten is not None:
            self._write(rewritten)
        return rewritten is not None

    def refresh(self) -> None:
        self._session.app.invalidate()

    def guard(self) -> AbstractContextManager[None]:
        return patch_stdout(raw=True)  # the text is safe already, and moves the cursor

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class _Completer(Completer):
    def __init__(self, talker: Talker) -> None:
        self._talker = talker

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        return ()

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        for text, replaced in await self._talker.complete(document.text_before_cursor):
            yield Completion(text, start_position=-replaced)


class Pipe:
    """Without a terminal: plain lines in and out, for scripts."""

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor
        self._buffer = b""
        self._ended = False
        self._reading: asyncio.Future[bytes] | None = None

    async def lines(self, talker: Talker) -> AsyncIterator[str]:
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
            return os.read(self._descriptor, _PIECE_BYTES)  # a file: it cannot be waited for and never blocks
        except NotImplementedError:
            return await self._read_in_thread()
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return os.read(self._descriptor, _PIECE_BYTES)

    async def _read_in_thread(self) -> bytes:
        """Read where the loop cannot wait for a descriptor, as on Windows. What is read for nobody is kept."""
        if self._reading is None:
            self._reading = _read_by_thread(self._descriptor)
        data = await asyncio.shield(self._reading)
        self._reading = None
        return data

    def say(self, text: str, *, key: int = 0, strong: bool = False) -> None:
        print(printable(text), flush=True)

    def change(self, key: int, text: str) -> bool:
        return False

    def refresh(self) -> None:
        pass

    def guard(self) -> AbstractContextManager[None]:
        return nullcontext()


def _read_by_thread(descriptor: int) -> asyncio.Future[bytes]:
    """Read from a descriptor in a thread, which keeps no program from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()

    def tell(tells: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(lambda: None if done.done() else tells())

    def read() -> None:
        try:
            data = os.read(descriptor, _PIECE_BYTES)
        except OSError as error:
            failure = error
            tell(lambda: done.set_exception(failure))
        else:
            tell(lambda: done.set_result(data))

    threading.Thread(target=read, name="standard input", daemon=True).start()
    return done


def console() -> Console:
    """Return the console that fits how the program was started."""
    return Terminal() if sys.stdin.isatty() and sys.stdout.isatty() else Pipe()
