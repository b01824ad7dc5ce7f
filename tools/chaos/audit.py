"""Checks that raw devices got, and can read, exactly the acknowledged messages."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from .raw import Book, RawDevice, Spoken

Deviations = dict[str, list[str]]
"""The broken promises, by kind."""


def missing(book: Book, devices: Iterable[RawDevice]) -> list[str]:
    """Return the acknowledged messages that have not come to a device, with that device.

    A device need not get its own messages: a web client's own count may leave them out.
    """
    by_user: dict[str, list[tuple[RawDevice, frozenset[int]]]] = {}
    for device in devices:
        by_user.setdefault(device.uid, []).append((device, frozenset(device.heard)))
    return [
        f"{one} to {device.session.client_id}"
        for one in book.spoken.values()
        if one.acknowledged
        for uid in one.to | {one.sender}
        for device, came in by_user.get(uid, ())
        if device.session.client_id != one.by and one.message_id not in came
    ]


def judge_arrivals(book: Book, devices: Iterable[RawDevice]) -> Deviations:
    """Check the arrivals at each device: all messages, each under one id, and each sender's in order."""
    devices = list(devices)
    wrong: Deviations = {
        "messages of raw devices not acknowledged": [str(one) for one in book.unacknowledged()],
        "messages of raw devices lost": missing(book, devices),
        "breaches of the contract": book.wrong,
        "messages of raw devices under two ids": [],
        "messages to raw devices out of order": [],
    }
    ids: dict[str, set[int]] = {}
    for device in devices:
        for message_id, text in device.heard.items():
            ids.setdefault(text, set()).add(message_id)
        found = [book.spoken[text] for text in device.heard.values() if text in book.spoken]
        wrong["messages to raw devices out of order"] += [
            f"{what} at {device.session.client_id}" for what in disordered(found)
        ]
    for text, seen in ids.items():
        one = book.spoken.get(text)
        if one is not None and len(seen | ({one.message_id} if one.acknowledged else set())) > 1:
            wrong["messages of raw devices under two ids"].append(f"{one}: {sorted(seen)}")
    return wrong


def judge_history(
    book: Book, conversation: tuple[int, str], parties: frozenset[str], read: Sequence[Mapping[str, Any]]
) -> Deviations:
    """Compare the LRM of a conversation, newest first, with the messages sent there.

    `parties`: the users who may write there; for a private conversation the two.
    """
    kind, target = conversation
    said = [
        one
        for one in book.spoken.values()
        if one.conversation[0] == kind
        and one.sender in parties
        and (one.conversation[1] == target if kind else one.to <= parties)
    ]
    ids = [message["messageId"] for message in read]
    texts = [message["content"]["searchableContent"] for message in reversed(read)]
    ours = [text for text in texts if text.startswith(book.run)]
    counts = Counter(ours)
    return {
        "histories that are not newest first": [
            f"{conversation}: {before} before {after}" for before, after in pairwise(ids) if before <= after
        ],
        "acknowledged messages that LRM lacks": [
            str(one) for one in said if one.acknowledged and one.message_id not in ids
        ],
        "messages that LRM has twice": [f"{text!r}: {count}" for text, count in counts.items() if count > 1],
        "messages that LRM has and nobody sent there": sorted(counts.keys() - {one.text for one in said}),
        "messages that LRM has out of order": disordered(
            [book.spoken[text] for text in ours if text in book.spoken]
        ),
    }


def disordered(found: Iterable[Spoken]) -> list[str]:
    """Return the messages that stand after a later one of the same device in the same conversation.

    A refused message was sent again after later ones: its place is where it was stored.
    """
    last: dict[tuple[str, tuple[int, str]], int] = {}
    wrong = []
    for one in found:
        key = one.by, one.conversation
        if one.refused:
            continue
        if one.number < last.get(key, 0):
            wrong.append(f"{one} behind number {last[key]}")
        last[key] = max(one.number, last.get(key, 0))
    return wrong
