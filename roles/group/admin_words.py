"""The back office and the sensitive words."""

import secrets

from fsharechat.folding import fold
from fsharechat.rpc import Call
from fsharechat.store import words
from fsharechat.store.words import MAX_WORD, MAX_WORDS, TooManyWords
from roles.group.admin import Denied, Operations, Request
from roles.group.service import Group


def _folded(given: list[str]) -> list[str]:
    """Return words as they are kept. Raises Denied."""
    found: list[str] = []
    for number, word in enumerate(given):
        kept = words.kept(word)
        if not kept:
            raise Denied(400, f"words.{number}: a word has 1 to {MAX_WORD} characters")
        found.append(kept)
    return found


async def list_words(group: Group, _: Call, request: Request) -> object:
    limit: int = request["limit"]
    found = await group.store.read(words.page, fold(request["after"]).strip(), limit + 1)
    total = await group.store.read(words.count)
    return {"words": found[:limit], "total": total, "next": found[limit - 1] if len(found) > limit else ""}


async def add(group: Group, _: Call, request: Request) -> object:
    try:
        added = await group.store.write(words.add, _folded(request["words"]), secrets.token_bytes(16))
    except TooManyWords:
        raise Denied(409, f"there would be more than {MAX_WORDS} words; none was added") from None
    group.words.changed()
    return {"added": added}


async def remove(group: Group, _: Call, request: Request) -> object:
    removed = await group.store.write(words.remove, _folded(request["words"]), secrets.token_bytes(16))
    group.words.changed()
    return {"removed": removed}


OPERATIONS: Operations = {
    "words.list": list_words,
    "words.add": add,
    "words.remove": remove,
}
