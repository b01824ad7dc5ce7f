"""The Chinese pages stand beside the English ones: the same headings, code and tables, and links to each other."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ZH = ROOT / "docs" / "zh"
README = ROOT / "README.zh.md"
OPERATORS = (
    "running",
    "moving",
    "media",
    "client",
    "cluster",
    "operations",
    "admin",
    "calling",
    "robots",
    "oidc",
    "web",
    "webhooks",
)
"""The pages of docs/ that must have a Chinese one; README must, too."""

_FENCE = re.compile(r"^ *```")
_COMMENT = re.compile(r"(?:^|\s+)#.*$")
_LINK = re.compile(r"\[[^\]\n]+\]\(([^)#\s]+)\)")


def english_of(page: Path) -> Path:
    return ROOT / "README.md" if page == README else ROOT / "docs" / page.relative_to(ZH)


PAGES = sorted({README, *(ZH / f"{name}.md" for name in OPERATORS), *ZH.rglob("*.md")})
pairs = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def split(text: str) -> tuple[list[list[str]], list[str]]:
    """Return the code blocks of a page, fenced and indented ones, and the lines outside of them."""
    blocks: list[list[str]] = []
    outside: list[str] = []
    fenced = indented = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            if fenced:
                blocks.append([line.strip()])
        elif fenced:
            blocks[-1].append(line)
        elif line.startswith("    ") and (indented or not (outside and outside[-1].strip())):
            if not indented:
                blocks.append([])
            blocks[-1].append(line)
            indented = True
            continue
        else:
            outside.append(line)
        indented = indented and not line.strip()
    return blocks, outside


def code(text: str) -> list[list[str]]:
    """Return the code blocks without their comments, which may be translated, and without empty lines."""
    bare = ([_COMMENT.sub("", line).rstrip() for line in block] for block in split(text)[0])
    return [[line for line in block if line] for block in bare]


def levels(text: str) -> list[int]:
    """Return the levels of the headings, in order."""
    return [len(line) - len(line.lstrip("#")) for line in split(text)[1] if re.match(r"#+ ", line)]


def tables(text: str) -> list[int]:
    """Return the number of rows of each table, in order."""
    counts: list[int] = []
    before = False
    for line in split(text)[1]:
        inside = line.lstrip().startswith("|")
        if inside and not before:
            counts.append(0)
        if inside:
            counts[-1] += 1
        before = inside
    return counts


def first_link(page: Path) -> Path | None:
    """Return what the first link of the first line under the title leads to."""
    lines = [line for line in page.read_text().splitlines() if line.strip()]
    found = _LINK.search(lines[1])
    return (page.parent / found[1]).resolve() if found else None


@pytest.mark.parametrize("name", OPERATORS)
def test_each_page_for_operators_is_there_in_chinese(name: str) -> None:
    assert (ZH / f"{name}.md").is_file()


def test_the_readme_is_there_in_chinese() -> None:
    assert README.is_file()


@pairs
def test_the_headings_have_the_same_levels_in_the_same_order(page: Path) -> None:
    assert levels(page.read_text()) == levels(english_of(page).read_text())


@pairs
def test_the_code_is_the_same(page: Path) -> None:
    assert code(page.read_text()) == code(english_of(page).read_text())


@pairs
def test_the_tables_have_the_same_numbers_of_rows(page: Path) -> None:
    assert tables(page.read_text()) == tables(english_of(page).read_text())


@pairs
def test_both_pages_link_to_each_other_under_their_titles(page: Path) -> None:
    english = english_of(page)
    assert first_link(page) == english
    assert first_link(english) == page


def test_code_is_found_and_its_comments_are_not_compared() -> None:
    text = "# T\n\nrun\n    not code\n\n    a --b  # why\n\n    c#d\n- x\n\n"
    text += "```sh\n# all\n# of it\ne\n```\n| a |\n|---|\n"
    assert code(text) == [["    a --b", "    c#d"], ["```sh", "e"]]
    assert levels(text) == [1]
    assert tables(text) == [2]
