"""Sensitive words: each once, in order, and a version that tells of every change."""

import asyncio

import pytest

from fsharechat.store import copies, words
from fsharechat.store.store import Store


async def test_words_are_kept_once_and_listed_in_order(store: Store) -> None:
    assert await store.write(words.add, ["b", "飞享", "a", "b", "ａ"], b"1") == 4
    assert await store.write(words.add, ["a", "c"], b"2") == 1
    assert await store.read(words.all_words) == (b"2", ["a", "b", "c", "飞享", "ａ"])
    assert await store.read(words.count) == 5


async def test_words_are_listed_page_by_page(store: Store) -> None:
    await store.write(words.add, [f"{n:05}" for n in range(25_000)], b"1")
    first = await store.read(words.page, "", 3)
    assert first == ["00000", "00001", "00002"]
    assert await store.read(words.page, first[-1], 2) == ["00003", "00004"]
    assert len((await store.read(words.all_words))[1]) == 25_000


async def test_removing_says_how_many_there_were(store: Store) -> None:
    await store.write(words.add, ["a", "b", "c"], b"1")
    assert await store.write(words.remove, ["a", "c", "d"], b"2") == 2
    assert await store.read(words.all_words) == (b"2", ["b"])


async def test_there_is_no_version_before_the_first_change(store: Store) -> None:
    assert await store.read(copies.version, words.VERSION) == b""
    await store.write(words.add, ["a"], b"1")
    assert await store.read(copies.version, words.VERSION) == b"1"


async def test_too_many_words_change_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MAX_WORDS", 2)
    await store.write(words.add, ["a", "b"], b"1")
    with pytest.raises(words.TooManyWords):
        await store.write(words.add, ["b", "c"], b"2")
    assert await store.read(words.all_words) == (b"1", ["a", "b"])
    assert await store.write(words.add, ["a", "b"], b"3") == 0


async def test_the_same_words_may_be_added_at_the_same_time(store: Store) -> None:
    added = await asyncio.gather(*[store.write(words.add, ["a", "b"], b"%d" % n) for n in range(10)])
    assert sum(added) == 2
