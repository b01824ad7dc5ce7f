"""docs/architecture.md names files and functions that exist, and rooms that do not know each other."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.unit.import_statements import import_statements

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()

_PATH = re.compile(r"`((?:[\w.*-]+/)+[\w.*-]*)(?:: ([\w.]+))?`")
_MODULE = re.compile(r"`([\w*]+\.py)`")
_MEMBER = re.compile(r"`([A-Z]\w+\.\w+)`")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without its head."""
    _, _, part = PAGE.partition(f"\n## {heading}\n")
    lines = re.findall(r"^\|.*\|$", part.partition("\n## ")[0], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def definitions(path: Path) -> frozenset[str]:
    """Return the names of the functions and classes of a module, and `Class.method` of those of classes."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inside = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{node.name}.{one.name}" for one in inside}
    return frozenset(names)


def sources(room: str) -> list[Path]:
    path = ROOT / room
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports, as paths without a suffix: `from a.b import c` gives a/b and a/b/c."""
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.replace(".", "/") for alias in node.names)
        elif node.module:
            module = node.module.replace(".", "/")
            yield module
            yield from (f"{module}/{alias.name}" for alias in node.names)


def knows(path: Path, other: str) -> bool:
    name = other.removesuffix("/").removesuffix(".py")
    return any(one == name or one.startswith(f"{name}/") for one in imports(path))


def test_each_file_and_function_that_is_named_exists() -> None:
    named = _PATH.findall(PAGE)
    assert sum(bool(function) for _, function in named) > 30
    missing = []
    for path, function in named:
        if not (ROOT / path).exists():
            missing.append(path)
        elif function and function not in definitions(ROOT / path):
            missing.append(f"{path}: {function}")
    assert missing == []


def test_each_method_that_is_named_without_its_file_is_in_a_file_that_is_named() -> None:
    there: set[str] = set()
    for path, _ in _PATH.findall(PAGE):
        if path.endswith(".py"):
            there |= definitions(ROOT / path)
    assert set(_MEMBER.findall(PAGE)) <= there


@pytest.mark.parametrize(
    ("heading", "role"),
    [("the group role", "group"), ("the connector", "connector")],
    ids=["group", "connector"],
)
def test_each_module_of_a_role_has_its_place(heading: str, role: str) -> None:
    folder = ROOT / "roles" / role
    names = [name for row in rows(f"Who does what in {heading}") for name in _MODULE.findall(row[0])]
    found = [path.name for name in names for path in folder.glob(name)]
    assert sorted(found) == sorted(path.name for path in folder.glob("*.py") if path.name != "__init__.py")


ROOMS = [(_PATH.findall(row[0])[0][0], _PATH.findall(row[2])) for row in rows("The rooms")]


@pytest.mark.parametrize(("room", "others"), ROOMS, ids=[room for room, _ in ROOMS])
def test_no_room_knows_what_it_must_not(room: str, others: list[tuple[str, str]]) -> None:
    assert others
    known = [
        f"{path.relative_to(ROOT)}: {other}"
        for path in sources(room)
        for other, _ in others
        if knows(path, other)
    ]
    assert known == []


def test_every_folder_of_the_product_is_a_room() -> None:
    folders = {path.parent for top in ("fsharechat", "roles") for path in (ROOT / top).glob("*/__init__.py")}
    assert {f"{folder.relative_to(ROOT)}/" for folder in folders} <= {room for room, _ in ROOMS}
