"""Operations of the back office on the sensitive words."""

import secrets

from fsharechat.folding import fold
from fsharechat.rpc import Call
from fsharechat.store import words
from fsharechat.store.store import Store
from fsharechat.store.words import MAX_WORD, MAX_WORDS, TooManyWords
from roles.group.admin import OFFICE, Denied, OfficeRequest, Operations, page
from roles.group.words import WordFilter


def _folded(given: list[str]) -> list[str]:
    """Return words in the form in which they are kept. Raises Denied."""
    found: list[str] = []
    for number, word in enumerate(given):
        kept = words.kept(word)
        if not kept:
            raise Denied(400, f"words.{number}: a word has 1 to {MAX_WORD} characters")
        found.append(kept)
    return found


async def list_words(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    after, part = fold(request["after"]).strip(), fold(request.get("search", "")).strip()
    found = await store.search_for(OFFICE, words.found, part, after, limit + 1)
    shown = page("words", found, limit, str, str)
    return {**shown, "total": await store.read(words.count)}


async def add(store: Store, word_filter: WordFilter, _: Call, request: OfficeRequest) -> object:
    try:
        added = await store.write(
            request.audited(words.add), _folded(request["words"]), secrets.token_bytes(16)
        )
    except TooManyWords:
        raise Denied(409, f"there would be more than {MAX_WORDS} words; none was added") from None
    word_filter.changed()
    return {"added": added}


async def remove(store: Store, word_filter: WordFilter, _: Call, request: OfficeRequest) -> object:
    removed = await store.write(
        request.audited(words.remove), _folded(request["words"]), secrets.token_bytes(16)
    )
    word_filter.changed()
    return {"removed": removed}


OPERATIONS: Operations = {
    "words.list": list_words,
    "words.add": add,
    "words.remove": remove,
}
