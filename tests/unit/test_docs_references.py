"""What code and docs refer to is there, and inside this repository."""

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SUFFIXES = {".md", ".py", ".pyi", ".proto", ".toml", ".yaml", ".json", ".mako", ""}
"""Of the files that people write; scripts have none."""
NOT_OURS = {"build", "dist", "__pycache__", "node_modules"}
"""Folders that tools make, beside those whose names begin with a dot."""

_SECTIONS = re.compile(
    r"(?P<page>contract|calls)\.md\]?(?:\([^)]*\))?,?\s+(?:#\s*)?sections?\s+"
    r"(?P<numbers>[\d., ]+(?:(?:and|to)\s+[\d.]+)?)(?:,\s+\"(?P<part>[^\"]+)\")?"
)
_HEADING = re.compile(r"^#{2,3} (\d+(?:\.\d+)?)[. ]", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_PAGE = re.compile(r"\bdocs/[\w/-]+\.md\b")
OUTSIDE = ("protocol.md section", "design.md", "(design", "../shared")


def files(*suffixes: str) -> Iterator[Path]:
    """Yield the text files of the repository."""
    for folder, inside, names in os.walk(ROOT):
        inside[:] = [name for name in inside if not _is_made(name)]
        for path in (Path(folder, name) for name in sorted(names)):
            if path.suffix in (suffixes or SUFFIXES) and path != Path(__file__):
                yield path


def _is_made(folder: str) -> bool:
    return folder in NOT_OURS or folder.startswith(".") or folder.endswith(".egg-info")


@cache
def read(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as hosts of repositories make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def sections(name: str) -> dict[str, str]:
    """Return the texts of the numbered sections of a page."""
    text = (DOCS / f"{name}.md").read_text()
    found = list(_HEADING.finditer(text))
    ends = [one.start() for one in found[1:]] + [len(text)]
    return {one[1]: text[one.start() : end] for one, end in zip(found, ends, strict=True)}


def test_each_section_of_the_contract_that_is_named_exists() -> None:
    there = {name: sections(name) for name in ("contract", "calls")}
    assert list(there["contract"]) == [str(number) for number in range(1, 9)]
    missing, seen = [], 0
    for path in files():
        for match in _SECTIONS.finditer(read(path)):
            known, numbers = there[match["page"]], re.findall(r"\d+(?:\.\d+)?", match["numbers"])
            seen += 1
            missing += [f"{path}: {match[0]!r}" for number in numbers if number not in known]
            if match["part"] and not any(match["part"] in known.get(number, "") for number in numbers):
                missing.append(f"{path}: {match[0]!r}: nothing of that name there")
    assert missing == []
    assert seen > 100


@pytest.mark.parametrize("words", OUTSIDE)
def test_no_reference_leads_outside(words: str) -> None:
    found = [str(path) for path in files() if words in read(path)]
    assert found == []


def test_links_lead_to_pages_and_headings_that_exist() -> None:
    broken = []
    for page in files(".md"):
        for link in _LINK.findall(page.read_text()):
            if link.startswith(("http://", "https://", "mailto:")):
                continue
            where, _, anchor = unquote(link).partition("#")
            target = (page.parent / where).resolve() if where else page
            fine = target.exists() and target.is_relative_to(ROOT)
            if not fine or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert broken == []


def test_pages_that_code_names_exist() -> None:
    missing = [
        f"{path}: {name}"
        for path in files()
        for name in _PAGE.findall(read(path))
        if not (ROOT / name).exists()
    ]
    assert missing == []
