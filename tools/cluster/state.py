"""The files of a cluster: what it is, and the settings that its processes share."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_state(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a JSON file that only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(value, indent=1))
    temporary.replace(path)


def write_settings(path: Path, variables: Mapping[str, str | Sequence[str]]) -> None:
    """Write settings, given by their variables, for the processes and for `fsharechat check --settings`."""
    values: dict[str, dict[str, str | Sequence[str]]] = {}
    for variable, value in variables.items():
        section, key = variable.removeprefix("FSHARECHAT_").lower().split("__")
        values.setdefault(section, {})[key] = value
    # A JSON string is also a TOML string, and so is a list of them.
    lines = [
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        for section, keys in values.items()
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
