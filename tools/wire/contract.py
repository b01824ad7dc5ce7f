"""The numbers of the wire contract, read from docs/contract.md: nothing here comes from the server's own code."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

_TEXT = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()
_TABLE = _TEXT.partition("\n## 5. ")[2].partition("\n## 6. ")[0]
"""The section with the messages."""
_SCALARS = ("i32", "i64", "str", "bytes", "bool")
_UNTYPED = {"conversation": "Conversation", "notify_content": "MessageContent"}
"""Fields for which the table has only the type."""


class ContractField(NamedTuple):
    """A field of a message: `kind` is i32, i64, str, bytes, bool or the name of a message."""

    name: str
    kind: str
    number: int
    repeated: bool
    required: bool


def _names(heading: str) -> dict[str, int]:
    match = re.search(rf"^{heading}: (.*?)\.$", _TEXT, re.MULTILINE | re.DOTALL)
    assert match, heading
    pairs = [entry.split() for entry in match[1].split(",")]
    return {name: int(number) for name, number in pairs}


def _field(text: str) -> ContractField:
    words = text.split()
    repeated = words[0] == "repeated"
    required = words[-1] == "R"
    name, *kind, number = words[repeated : len(words) - required]
    return ContractField(name, kind[0] if kind else _UNTYPED[name], int(number), repeated, required)


def _messages() -> dict[str, dict[int, ContractField]]:
    found: dict[str, dict[int, ContractField]] = {}
    for names, text in re.findall(r"^\| ([A-Z][\w, ]*) \| (.*) \|$", _TABLE, re.MULTILINE):
        fields = {field.number: field for field in map(_field, text.split(", "))}
        found |= dict.fromkeys(names.split(", "), fields)
    for name, fields in found.items():
        unknown = {field.kind for field in fields.values()} - found.keys() - set(_SCALARS)
        assert not unknown, f"{name} has fields of unknown types: {unknown}"
    return found


SIGNALS = _names("Signals")
SUB_SIGNALS = _names("Sub-signals")
MESSAGES = _messages()
"""The fields of each message, by number."""


@cache
def name_of(numbers: str, number: int) -> str:
    """Return the name of a "signal" or "sub-signal". Raises ValueError if it has none."""
    names = {"signal": SIGNALS, "sub-signal": SUB_SIGNALS}[numbers]
    for name, known in names.items():
        if known == number:
            return name
    raise ValueError(f"{number} is no {numbers} of the contract")
