"""The examples of docs/cluster.md are settings that the program takes."""

import re
import tomllib
from pathlib import Path

import pytest

from fsharechat.settings import load

GUIDE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
(TOML,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
(VARIABLES,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
FILES = re.findall(r"# \S*/(\w+)\.env\n((?:\w+=.*\n)+)", VARIABLES)


@pytest.mark.parametrize(("role", "lines"), FILES, ids=[name for name, _ in FILES])
def test_the_settings_of_each_role_are_right(tmp_path: Path, role: str, lines: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(TOML)
    settings = load(file, {}, dict(line.split("=", 1) for line in lines.splitlines()))
    assert settings.node.roles == (role,)
    assert not settings.embedded
    assert not settings.on_sqlite


def test_there_is_a_file_for_each_role() -> None:
    assert [name for name, _ in FILES] == ["connector", "group", "media", "api"]


def test_every_key_that_is_explained_exists() -> None:
    shipped = tomllib.loads((Path(__file__).parents[2] / "settings.toml").read_text())
    rows = re.findall(r"^\| `\[(\w+)\] (\w+)`(?:, `(\w+)`)? \|", GUIDE, re.MULTILINE)
    assert len(rows) > 8
    for section, *keys in rows:
        assert set(filter(None, keys)) <= shipped[section].keys()
