"""The examples of docs/cluster.md are settings that the program takes."""

import re
import tomllib
from pathlib import Path

import pytest

from fsharechat.settings import load

GUIDE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text()
(TOML,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
(VARIABLES,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
FILES = dict(re.findall(r"# \S*/(\w+)\.env\n((?:\w+=.*\n)+)", VARIABLES))


@pytest.mark.parametrize("role", ["connector", "group", "media", "api"])
def test_the_settings_of_each_role_are_right(tmp_path: Path, role: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(TOML)
    lines = FILES.get(role, "").splitlines()
    settings = load(file, {"roles": role}, dict(line.split("=", 1) for line in lines))
    assert settings.node.roles == (role,)
    assert not settings.embedded
    assert not settings.on_sqlite


def test_each_file_is_of_a_role() -> None:
    assert sorted(FILES) == ["connector", "group", "media"]


def test_every_key_that_is_explained_exists() -> None:
    shipped = tomllib.loads((Path(__file__).parents[2] / "settings.toml").read_text())
    rows = re.findall(r"^\| `\[(\w+)\] (\w+)`(?:, `(\w+)`)? \|", GUIDE, re.MULTILINE)
    assert len(rows) > 8
    for section, *keys in rows:
        assert set(filter(None, keys)) <= shipped[section].keys()
