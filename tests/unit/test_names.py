"""Each concept has a name of its own: no two classes share one."""

import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]


def classes(*packages: str) -> dict[str, list[str]]:
    """Return the files that have a class of a name at their top level, by the name."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "node_modules" in path.parts:
                continue
            for name in re.findall(r"^class (\w+)", path.read_text(), re.MULTILINE):
                found[name].append(str(path.relative_to(ROOT)))
    return found


def test_no_class_name_of_the_product_and_its_tools_stands_twice() -> None:
    found = classes("fsharechat", "roles", "tools")
    assert len(found) > 400
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
