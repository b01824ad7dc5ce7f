"""The original's embedded database, as a script of H2 (`org.h2.tools.Script`).

A script has one statement after the other, and each row of an INSERT on a line of its own. Texts with other
than ASCII characters are STRINGDECODE('…'), bytes X'…'; large ones stand in parts before the row that has them.
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fsharechat.moving.source import (
    PAGE_BYTES,
    PAGE_ROWS,
    ImportSource,
    Row,
    SourceError,
    SourcePage,
    SourceTable,
)

MAX_LINE = 64 << 20
"""Bytes of a line: what is longer is no script of H2."""

_CREATE = re.compile(rb'CREATE (?:CACHED |MEMORY )?TABLE (?:"?PUBLIC"?\.)?"?(\w+)"?\(')
_COLUMN = re.compile(rb'    "?(\w+)"? ')
_COUNT = re.compile(rb"-- (\d+) \+/- SELECT COUNT")
_INSERT = re.compile(rb'INSERT INTO (?:"?PUBLIC"?\.)?"?(\w+)"?\(([^)]*)\) VALUES')
_LOB = re.compile(r"INSERT INTO SYSTEM_LOB_STREAM VALUES\((\d+), \d+, (.*)\);\s*")
_VALUE = re.compile(
    r"""\s*(?:
        (?P<number>-?\d+(?:\.\d+)?(?:E-?\d+)?) |
        (?P<null>NULL) | (?P<true>TRUE) | (?P<false>FALSE) |
        X'(?P<hex>[0-9a-fA-F]*)' |
        (?P<decode>STRINGDECODE\()?'(?P<text>(?:[^']|'')*)'(?(decode)\)) |
        (?:TIMESTAMP|DATE|TIME)\s'(?P<time>[^']*)' |
        SYSTEM_COMBINE_[BC]LOB\((?P<lob>\d+)\)
    )\s*(?P<end>[,)])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"t": "\t", "n": "\n", "f": "\f", "r": "\r", "b": "\b"}

_HOW = (
    'java -cp h2-1.4.197.jar org.h2.tools.Script -url "jdbc:h2:/path/h2db/wfchat;MODE=MySQL" '
    "-user SA -password SA -script out.sql"
)


class _TablePlace(NamedTuple):
    """A table of the script, and where its rows begin."""

    table: SourceTable
    offset: int


class H2Script(ImportSource):
    """Reads the script once for where each table is, and then table by table. A position is a number of rows."""

    def __init__(self, path: Path) -> None:
        # With its size: a position in another script would be wrong.
        self.name = f"{path.absolute()} ({path.stat().st_size} bytes)"
        self._path = path
        self._places: dict[str, _TablePlace] = {}
        self._reading: tuple[str, Sequence[str], int, Iterator[Row]] | None = None

    async def open(self) -> Mapping[str, SourceTable]:
        try:
            return await asyncio.to_thread(self._look)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error

    async def close(self) -> None:
        self._reading = None

    async def page(self, table: SourceTable, columns: Sequence[str], after: int) -> SourcePage:
        try:
            return await asyncio.to_thread(self._page, table, columns, after)
        except OSError as error:
            raise SourceError(f"{self._path}: {error.strerror}") from error

    def _look(self) -> dict[str, SourceTable]:
        with self._path.open("rb") as file:
            head = file.read(4096)
            if b"-- MySQL dump" in head or b"-- MariaDB dump" in head or b"SQL_MODE=" in head:
                raise SourceError(
                    f"{self._path} is a dump of MySQL: load it into a MySQL server (mysql NAME < FILE) and name "
                    "that, "
                    "mysql://user:password@host/NAME"
                )
            if head[:2] == b"H:" or b"\0" in head:
                raise SourceError(f"{self._path} is a database of H2. Make a script of it first: {_HOW}")
            file.seek(0)
            columns: set[str] = set()
            name = ""
            while line := file.readline(MAX_LINE):
                if found := _CREATE.match(line):
                    name, columns = found[1].decode().lower(), set()
                    self._places[name] = _TablePlace(SourceTable(name, frozenset(), 0), file.tell())
                elif name and (found := _COLUMN.match(line)):
                    columns.add(found[1].decode().lower())
                elif name and (found := _COUNT.match(line)):
                    self._places[name] = _TablePlace(
                        SourceTable(name, frozenset(columns), int(found[1])), self._places[name].offset
                    )
        return {name: place.table for name, place in self._places.items() if place.table.columns}

    def _page(self, table: SourceTable, columns: Sequence[str], after: int) -> SourcePage:
        if self._reading is None or self._reading[:3] != (table.name, columns, after):
            rows = self._rows(table.name, columns)
            for _ in range(after):
                next(rows, None)
        else:
            rows = self._reading[3]
        found: list[Row] = []
        size = 0
        for row in rows:
            found.append(row)
            size += sum(len(value) for value in row if isinstance(value, (str, bytes)))
            if len(found) == PAGE_ROWS or size > PAGE_BYTES:
                self._reading = (table.name, columns, after + len(found), rows)
                return SourcePage(found, after + len(found), False)
        self._reading = None
        return SourcePage(found, after + len(found), True)

    def _rows(self, name: str, columns: Sequence[str]) -> Iterator[Row]:
        """Yield the rows of a table in the order of the script, with these columns."""
        order: list[int] = []
        lobs: dict[int, list[str | bytes]] = {}
        with self._path.open("rb") as file:
            file.seek(self._places[name].offset)
            inside = False
            while raw := file.readline(MAX_LINE):
                if inside and raw.startswith(b"("):
                    line = raw.decode("utf-8")
                    values = self._values(line, lobs)
                    yield tuple(values[index] if index >= 0 else None for index in order)
                    inside = not line.rstrip().endswith(";")
                elif found := _INSERT.match(raw):
                    inside = found[1].decode().lower() == name
                    there = [column.strip().strip('"').lower() for column in found[2].decode().split(",")]
                    order = [there.index(column) if column in there else -1 for column in columns]
                elif _CREATE.match(raw) and b"SYSTEM_LOB_STREAM" not in raw:
                    return
                elif raw.startswith(b"INSERT INTO SYSTEM_LOB_STREAM"):
                    self._keep_lob(raw.decode("utf-8"), lobs)

    def _values(self, line: str, lobs: dict[int, list[str | bytes]]) -> list[object]:
        values: list[object] = []
        at = 1
        while True:
            found = _VALUE.match(line, at)
            if found is None:
                raise SourceError(f"{self._path}: cannot be read: {line[at : at + 60]!r}")
            values.append(_value(found, lobs))
            at = found.end()
            if found["end"] == ")":
                return values

    def _keep_lob(self, line: str, lobs: dict[int, list[str | bytes]]) -> None:
        """Keep a part of a large text or of many bytes until the row comes that has it."""
        found = _LOB.fullmatch(line)
        if found is None:
            raise SourceError(f"{self._path}: cannot be read: {line[:60]!r}")
        text, _, data = found[2].rpartition(", ")
        if data == "NULL":
            part = _VALUE.match(text + ",")
            value = _value(part, lobs) if part is not None else ""
            lobs.setdefault(int(found[1]), []).append(str(value))
        else:
            lobs.setdefault(int(found[1]), []).append(bytes.fromhex(data.removeprefix("X").strip("'")))


def _value(found: re.Match[str], lobs: dict[int, list[str | bytes]]) -> object:
    if (text := found["text"]) is not None:
        text = text.replace("''", "'")
        return _decoded(text) if found["decode"] else text
    if (number := found["number"]) is not None:
        return int(number) if number.lstrip("-").isdecimal() else float(number)
    if (data := found["hex"]) is not None:
        return bytes.fromhex(data)
    if found["lob"] is not None:
        parts = lobs.pop(int(found["lob"]), [])
        if parts and isinstance(parts[0], str):
            return "".join(part for part in parts if isinstance(part, str))
        return b"".join(part for part in parts if isinstance(part, bytes))
    if found["time"] is not None:
        return found["time"]
    return True if found["true"] else False if found["false"] else None


def _decoded(text: str) -> str:
    """Return what STRINGDECODE makes of a text: its escapes are those of Java."""
    decoded = _ESCAPE.sub(
        lambda found: (
            chr(int(found[1][1:], 16))
            if found[1][0] == "u" and len(found[1]) == 5
            else _ESCAPES.get(found[1], found[1])
        ),
        text,
    )
    # Two escapes of surrogates are one character.
    return decoded.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
