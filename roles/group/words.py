"""The sensitive words as this process knows them, and whether a message or a name has one (code 242)."""

import asyncio
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress

import ahocorasick
import structlog

from fsharechat.bus import Bus
from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType
from fsharechat.store import words
from fsharechat.store.store import Store
from fsharechat.tasks import spawn

log = structlog.get_logger(__name__)

WORDS_KEY = "words:"
"""The key under which the bus tells that the words have changed; no uid has a colon."""

LOOK_SECONDS = 60.0
"""So often the version is compared, in case the news of a change was lost."""

RETRY_SECONDS = 5.0

_SAYS_IN_CONTENT = frozenset({ContentType.TEXT, ContentType.TIP})
"""Types whose `content` is for people to read; that of others is data."""


def fold(text: str) -> str:
    """Return a text as words are looked for in it: whatever its case, its width and its composition."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def spell(folded: str) -> str:
    """Return a folded text letter by letter of its UTF-8 form, in which words are looked for.

    A state of the automaton is left by a linear search: among the first characters of ten thousand Chinese words that
    takes ten times as long as among bytes.
    """
    return folded if folded.isascii() else folded.encode().decode("latin-1")


def build(known: Iterable[str]) -> ahocorasick.Automaton | None:
    """Return what finds folded words; None when there are none. It may take a good part of a second."""
    automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for word in known:
        automaton.add_word(spell(word))
    if not len(automaton):
        return None
    automaton.make_automaton()
    return automaton


class WordFilter:
    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._automaton: ahocorasick.Automaton | None = None
        self._version = b""
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the words, and follow their changes from now on. Raises StoreError."""
        await self._bus.watch_invalidations(self._on_keys)
        await self._load()
        self._keeper = spawn("sensitive words", self._follow())

    def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()

    def refuses(self, content: pb.MessageContent) -> bool:
        """Return whether a message says a sensitive word."""
        if self._automaton is None:
            return False
        texts: Sequence[str] = (content.searchable_content, content.push_content)
        if content.type in _SAYS_IN_CONTENT:
            texts = (*texts, content.content)
        return self.refuses_any(texts)

    def refuses_any(self, texts: Iterable[str]) -> bool:
        """Return whether one of the texts has a sensitive word."""
        automaton = self._automaton
        if automaton is None:
            return False
        return any(text and next(automaton.iter(spell(fold(text))), None) is not None for text in texts)

    def changed(self) -> None:
        """Tell every group process that the words have changed."""
        self._bus.invalidate([WORDS_KEY])

    def _on_keys(self, keys: Iterable[str]) -> None:
        if WORDS_KEY in keys:
            self._changed.set()

    async def _follow(self) -> None:
        seconds = LOOK_SECONDS
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            self._changed.clear()
            try:
                await self._load()
                seconds = LOOK_SECONDS
            except StoreError as error:
                log.warning("sensitive words not read again", error=str(error))
                seconds = RETRY_SECONDS

    async def _load(self) -> None:
        if await self._store.read(words.version) == self._version:
            return
        version, known = await self._store.read(words.all_words)
        self._automaton = await asyncio.to_thread(build, known)
        self._version = version
        log.info("sensitive words read", count=len(known))
