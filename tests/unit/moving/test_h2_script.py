"""A script of H2 is read as org.h2.tools.Script writes it."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.moving.h2_script import H2Script
from fsharechat.moving.source import Row, SourceError
from tools.testing.original_forms import H2Form

HEAD = ";             \nCREATE USER IF NOT EXISTS SA SALT '00' HASH '00' ADMIN;            \n"
TABLE = """CREATE CACHED TABLE PUBLIC.T_THING(
    ID INT DEFAULT (NEXT VALUE FOR PUBLIC.SYSTEM_SEQUENCE_1) NOT NULL NULL_TO_DEFAULT SEQUENCE PUBLIC.S_1,
    _A TEXT DEFAULT NULL,
    _B BLOB
);
ALTER TABLE PUBLIC.T_THING ADD CONSTRAINT PUBLIC.CONSTRAINT_1 PRIMARY KEY(ID);
-- 3 +/- SELECT COUNT(*) FROM PUBLIC.T_THING;
"""
NEXT = "CREATE CACHED TABLE PUBLIC.T_NEXT(\n    ID INT NOT NULL\n);\n-- 0 +/- SELECT COUNT(*) FROM PUBLIC.T_NEXT;\n"


def rows_of(path: Path, table: str, *columns: str) -> list[Row]:
    async def read() -> list[Row]:
        source = H2Script(path)
        tables = await source.open()
        found: list[Row] = []
        at, last = 0, False
        while not last:
            page = await source.page(tables[table], columns, at)
            found += page.rows
            at, last = page.at, page.last
        await source.close()
        return found

    return asyncio.run(read())


def script(path: Path, body: str) -> Path:
    path.write_text(HEAD + TABLE + body + NEXT)
    return path


def test_values_of_each_kind(tmp_path: Path) -> None:
    path = script(
        tmp_path / "out.sql",
        "INSERT INTO PUBLIC.T_THING(ID, _A, _B) VALUES\n"
        "(1, 'it''s (a, b); ''', X'00ff'),\n"
        "(2, STRINGDECODE('\\u4f60 \\ud83d\\ude00 \\n\\\\ \\\"q\\\" ''x'''), NULL),\n"
        "(-3, NULL, X'');         \n"
        "INSERT INTO PUBLIC.T_THING(ID, _A, _B) VALUES\n"
        "(4, TIMESTAMP '2026-11-25 22:33:12.947', TRUE);    \n",
    )
    assert rows_of(path, "t_thing", "id", "_a", "_b", "_c") == [
        (1, "it's (a, b); '", b"\x00\xff", None),
        (2, "你 😀 \n\\ \"q\" 'x'", None, None),
        (-3, None, b"", None),
        (4, "2026-11-25 22:33:12.947", True, None),
    ]
    assert rows_of(path, "t_next", "id") == []


def test_large_values_stand_in_parts_before_their_rows(tmp_path: Path) -> None:
    path = script(
        tmp_path / "out.sql",
        "CREATE TABLE IF NOT EXISTS SYSTEM_LOB_STREAM(ID INT NOT NULL, PART INT NOT NULL, "
        "CDATA VARCHAR, BDATA BINARY);\n"
        'CREATE ALIAS IF NOT EXISTS SYSTEM_COMBINE_BLOB FOR "org.h2.command.dml.ScriptCommand.combineBlob";\n'
        "INSERT INTO SYSTEM_LOB_STREAM VALUES(0, 0, NULL, '00ff');\n"
        "INSERT INTO SYSTEM_LOB_STREAM VALUES(0, 1, NULL, 'aa');\n"
        "INSERT INTO SYSTEM_LOB_STREAM VALUES(1, 0, 'it''s, ', NULL);\n"
        "INSERT INTO SYSTEM_LOB_STREAM VALUES(1, 1, STRINGDECODE('\\u4f60'), NULL);\n"
        "INSERT INTO PUBLIC.T_THING(ID, _A, _B) VALUES\n"
        "(1, SYSTEM_COMBINE_CLOB(1), SYSTEM_COMBINE_BLOB(0));\n",
    )
    assert rows_of(path, "t_thing", "_a", "_b") == [("it's, 你", b"\x00\xff\xaa")]


def test_names_may_stand_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "out.sql"
    path.write_text(
        HEAD + 'CREATE CACHED TABLE PUBLIC."small"(\n    "one" INT NOT NULL,\n    "two" VARCHAR(50)\n);\n'
        '-- 1 +/- SELECT COUNT(*) FROM PUBLIC."small";\n'
        'INSERT INTO PUBLIC."small"("one", "two") VALUES\n(1, \'x\');\n'
    )
    assert rows_of(path, "small", "two", "one") == [("x", 1)]


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    form = H2Form()
    for key, value in pairs:
        form.put("t_user_setting", {"_uid": "x", "_scope": 1, "_key": key, "_value": value, "_dt": 1})
    form.write(tmp_path / "out.sql")
    assert rows_of(tmp_path / "out.sql", "t_user_setting", "_key", "_value") == pairs


def test_pages_follow_each_other_and_may_be_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsharechat.moving.h2_script.PAGE_ROWS", 3)
    form = H2Form()
    for number in range(100):
        form.put("t_sensitiveword", {"_word": f"word {number}"})
    form.write(tmp_path / "out.sql")
    wanted = [(f"word {number}",) for number in range(100)]
    assert rows_of(tmp_path / "out.sql", "t_sensitiveword", "_word") == wanted

    async def from_the_middle() -> list[Row]:
        source = H2Script(tmp_path / "out.sql")
        tables = await source.open()
        assert tables["t_sensitiveword"].rows == 100
        return list((await source.page(tables["t_sensitiveword"], ("_word",), 50)).rows)

    assert asyncio.run(from_the_middle()) == wanted[50:53]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"-- MariaDB dump 10.19\n", "load it into a MySQL server"),
        (
            b"/*!40101 SET NAMES utf8mb4 */;\n/*!40101 SET SQL_MODE='NO_AUTO' */;\n",
            "load it into a MySQL server",
        ),
        (b"H:2,block:3,blockSize:1000\n\0\0", "Make a script of it first"),
    ],
)
def test_other_files_are_refused_with_what_would_be_right(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "out.sql"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=said):
        rows_of(path, "t_user")


def test_a_row_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = script(tmp_path / "out.sql", "INSERT INTO PUBLIC.T_THING(ID, _A, _B) VALUES\n(1, what, NULL);\n")
    with pytest.raises(SourceError, match="cannot be read: ' what"):
        rows_of(path, "t_thing", "id")
