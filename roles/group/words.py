"""The sensitive words that this process knows, and the search for them in messages and names (code 242)."""

import asyncio
from collections.abc import Iterable

import ahocorasick
import structlog

from fsharechat.bus import Bus
from fsharechat.folding import SLICE, fold, slices
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType
from fsharechat.store import words
from fsharechat.store.store import Store
from roles.group.copies import SharedCopy
from roles.group.turns import Turns

log = structlog.get_logger(__name__)

WORDS_KEY = "words:"
"""The key for changes of the words on the bus. No uid has a colon."""

MAX_LOOKED_AT = 65_536
"""How many characters of one text are searched, from its beginning."""

AT_ONCE_BYTES = 2048
"""All texts of a request up to this size, bytes, are searched in one go."""

_SAYS_IN_CONTENT = frozenset({ContentType.TEXT, ContentType.TIP})
"""Content types whose `content` is text for people. In others it is data."""


def spell(folded: str) -> str:
    """Return a folded text as one letter for each byte of its UTF-8 form. Words are searched in this form.

    The automaton finds the next state by a linear search. Among the first characters of ten thousand Chinese words
    this takes ten times as long as among bytes.
    """
    return folded if folded.isascii() else folded.encode().decode("latin-1")


def build(known: Iterable[str]) -> ahocorasick.Automaton | None:
    """Return an automaton that finds folded words, None if there are none. This may take a good part of a second."""
    automaton = ahocorasick.Automaton(ahocorasick.STORE_LENGTH)
    for word in known:
        automaton.add_word(spell(word))
    if not len(automaton):
        return None
    automaton.make_automaton()
    return automaton


def texts_of(content: pb.MessageContent) -> tuple[str, ...]:
    """Return the texts of a message that people read."""
    texts = (content.searchable_content, content.push_content)
    return (*texts, content.content) if content.type in _SAYS_IN_CONTENT else texts


def _has_word(automaton: ahocorasick.Automaton, text: str) -> bool:
    return bool(text) and next(automaton.iter(spell(fold(text))), None) is not None


async def _look_through(automaton: ahocorasick.Automaton, texts: Iterable[str]) -> bool:
    looked_at = 0
    for text in texts:
        search = automaton.iter("")
        for part in slices(text[:MAX_LOOKED_AT]):
            search.set(spell(fold(part)), False)  # a word may begin in the slice before
            if next(search, None) is not None:
                return True
            looked_at += len(part)
            if looked_at >= SLICE:
                looked_at = 0
                await asyncio.sleep(0)
    return False


class WordFilter:
    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._copy = SharedCopy("sensitive words", WORDS_KEY, words.VERSION, store, bus, self._load)
        self._automaton: ahocorasick.Automaton | None = None
        self.any = False
        """Whether there are sensitive words at all."""
        self._turns = Turns()
        self._large = asyncio.Lock()

    async def start(self) -> None:
        """Read the words, and follow their changes from now on. Raises StoreError."""
        await self._copy.start()

    def stop(self) -> None:
        self._copy.stop()

    def looks_later(self, size: int) -> bool:
        """Return whether a request of so many bytes needs `forbids` instead of `refuses`."""
        return size > AT_ONCE_BYTES and self._automaton is not None

    def refuses(self, content: pb.MessageContent) -> bool:
        """Return at once whether a message of at most AT_ONCE_BYTES has a sensitive word."""
        automaton = self._automaton
        return automaton is not None and any(_has_word(automaton, text) for text in texts_of(content))

    async def forbids(self, uid: str, texts: Iterable[str]) -> bool:
        """Return whether one of the texts of a user's request has a sensitive word among its first MAX_LOOKED_AT.

        Large texts are searched one after the other, one slice in a turn of the loop. Of each user only one text
        waits in this queue at a time. So large texts delay nobody for longer than a slice.
        """
        automaton = self._automaton
        if automaton is None:
            return False
        texts = list(texts)
        if sum(map(len, texts)) <= SLICE:
            return any(_has_word(automaton, text) for text in texts)
        async with self._turns.turn(uid), self._large:
            return await _look_through(automaton, texts)

    def changed(self) -> None:
        """Tell every group process that the words have changed."""
        self._copy.changed()

    async def _load(self) -> bytes:
        version, known = await self._store.read(words.all_words)
        self._automaton = await asyncio.to_thread(build, known)
        self.any = self._automaton is not None
        log.info("sensitive words read", count=len(known))
        return version
