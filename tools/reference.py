"""Writes docs/reference-*.md: every event of the log, metric and setting, found in the code.

What each means is in one file a language, docs/reference/texts.en.toml; of settings it is the comment in
settings.toml. Another language is a file beside it (texts.zh.toml) with the same keys, and with `settings` too: what
it lacks is in English.
"""

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("fsharechat", "roles")
NO_SERVER = ("fsharechat/client/", "fsharechat/admin/")
"""What runs in programs of users: it logs by `logging`, in sentences of its own."""

LEVELS = ("debug", "info", "warning", "error")
_LEVEL_OF = {**{level: level for level in LEVELS}, "exception": "error", "log": "warning"}
_FAMILIES = {"counter": "_total", "gauge": "", "info": "_info"}

AREAS = {
    "fsharechat/store": "The store",
    "fsharechat/bus": "The bus",
    "fsharechat/registry": "The registry",
    "fsharechat/rpc": "Calls between processes",
    "roles/connector": "The connector",
    "roles/group": "The group role",
    "roles/api": "The api role",
    "": "The process",
}
"""Where an event comes from, by the folder of the code."""


class TableError(Exception):
    """The code has something that the tables cannot say; the text has a line for each."""


@dataclass
class Event:
    """A line of the log: its levels, the keys that it has, and the files that write it."""

    name: str
    levels: set[str] = field(default_factory=set)
    keys: dict[str, None] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)

    @property
    def area(self) -> str:
        folder = {next(folder for folder in AREAS if file.startswith(folder)) for file in self.files}
        return folder.pop() if len(folder) == 1 else ""


@dataclass(frozen=True)
class Metric:
    name: str
    kind: str
    help: str
    area: str


@dataclass(frozen=True)
class Setting:
    section: str
    key: str
    default: str
    comment: str


@dataclass(frozen=True)
class Texts:
    """What the tables say in one language."""

    words: Mapping[str, str]
    events: Mapping[str, str]
    metrics: Mapping[str, str]
    settings: Mapping[str, str]


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield each file of the server, by its path from the root, with its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(NO_SERVER):
                yield name, ast.parse(path.read_text())


def find_events() -> dict[str, Event]:
    """Return the events that the code logs, by name. Raises TableError where a name is no text in the code."""
    modules = dict(sources())
    constants = {name: value for tree in modules.values() for name, value in _constants(tree)}
    found: dict[str, Event] = {}
    faults = []
    for file, tree in modules.items():
        for call, level in _log_calls(tree):
            if (name := _text(call, constants)) is None:
                faults.append(f"{file}:{call.lineno}: the event is no text: {ast.unparse(call)}")
                continue
            event = found.setdefault(name, Event(name))
            event.levels.add(level)
            event.files.add(file)
            event.keys |= {key.arg: None for key in call.keywords if key.arg not in (None, "exc_info")}
    if faults:
        raise TableError("\n".join(faults))
    return found


def _log_calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            logger, method = ast.unparse(node.func.value), node.func.attr
            if method in _LEVEL_OF and re.fullmatch(r"(\w+\.)*_?log", logger):
                yield node, _LEVEL_OF[method]


def _text(call: ast.Call, constants: Mapping[str, str]) -> str | None:
    """Return the event of a call: its first argument, or the second one of `log.log`."""
    arguments = (
        call.args[1:] if isinstance(call.func, ast.Attribute) and call.func.attr == "log" else call.args
    )
    match arguments:
        case [ast.Constant(value=str(text)), *_]:
            return text
        case [ast.Name(id=name), *_]:
            return constants.get(name)
    return None


def _constants(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                yield name, text


def find_metrics() -> list[Metric]:
    """Return the metrics that the code publishes, in the order of their names."""
    found = []
    for file, tree in sources():
        area = next(area for area in AREAS if file.startswith(area))
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="counter" | "gauge" | "info" as kind),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(help)), *_],
                ):
                    found.append(Metric(f"fsharechat_{name}{_FAMILIES[kind]}", kind, help, area))
                case ast.Call(
                    func=ast.Name(id="Count"),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(help)), *_],
                ):
                    found.append(Metric(f"fsharechat_{name}_total", "counter", help, area))
    return sorted(found, key=lambda metric: metric.name)


def find_settings() -> list[Setting]:
    """Return the settings of settings.toml, in its order, each with the comment above it."""
    found = []
    section, comment = "", list[str]()
    for line in (ROOT / "settings.toml").read_text().splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section, comment = heading[1], []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif key := re.fullmatch(r"(\w+) = (.+)", line):
            found.append(Setting(section, key[1], key[2], " ".join(comment)))
            comment = []
        elif not line:
            comment = []
    return found


def read_texts(language: str) -> Texts:
    """Return the texts of a language; what it lacks is in English."""
    both: dict[str, dict[str, str]] = defaultdict(dict)
    for name in ("en", language):
        for table, entries in tomllib.loads((DOCS / "reference" / f"texts.{name}.toml").read_text()).items():
            both[table] |= entries
    return Texts(both["words"], both["events"], both["metrics"], both["settings"])


def problems(texts: Texts) -> list[str]:
    """Return a line for each event without a text, and for each text whose event is not logged any more."""
    there = find_events().keys()
    metrics = {metric.name for metric in find_metrics()}
    return [
        *(f"the event {name!r} has no text" for name in sorted(there - texts.events.keys())),
        *(f"the event {name!r} is not logged any more" for name in sorted(texts.events.keys() - there)),
        *(f"the metric {name} has no text" for name in sorted(metrics - texts.metrics.keys())),
        *(f"the metric {name} is gone" for name in sorted(texts.metrics.keys() - metrics)),
    ]


def pages(texts: Texts) -> dict[str, str]:
    """Return the pages by file name."""
    return {
        "reference-events.md": _page(texts, "events", _event_tables(texts)),
        "reference-metrics.md": _page(texts, "metrics", _metric_table(texts)),
        "reference-settings.md": _page(texts, "settings", _setting_tables(texts)),
    }


def _page(texts: Texts, name: str, body: Iterable[str]) -> str:
    word = texts.words
    return "\n".join((f"# {word[f'{name}.title']}", "", word["made"], "", word[f"{name}.about"], "", *body))


def _event_tables(texts: Texts) -> Iterator[str]:
    events = find_events().values()
    for folder in ("", *filter(None, AREAS)):
        title = AREAS[folder]
        rows = sorted(
            (event for event in events if event.area == folder), key=lambda event: event.name.lower()
        )
        yield from (f"## {texts.words.get(title, title)}", "")
        yield from _table(
            texts,
            ("event", "level", "keys", "meaning"),
            (
                (
                    f"`{event.name}`",
                    ", ".join(level for level in LEVELS if level in event.levels),
                    ", ".join(f"`{key}`" for key in event.keys),
                    texts.events[event.name],
                )
                for event in rows
            ),
        )


def _metric_table(texts: Texts) -> Iterator[str]:
    rows = ((f"`{one.name}`", one.kind, AREAS[one.area], texts.metrics[one.name]) for one in find_metrics())
    return _table(texts, ("metric", "kind", "of", "meaning"), rows)


def _setting_tables(texts: Texts) -> Iterator[str]:
    sections: dict[str, list[Setting]] = defaultdict(list)
    for setting in find_settings():
        sections[setting.section].append(setting)
    for section, settings in sections.items():
        yield from (f"## [{section}]", "")
        rows = (
            (f"`{one.key}`", f"`{one.default}`", texts.settings.get(f"{section}.{one.key}", one.comment))
            for one in settings
        )
        yield from _table(texts, ("key", "default", "meaning"), rows)


def _table(texts: Texts, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = [texts.words.get(head, head) for head in heads]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/reference", description="Writes docs/reference-*.md from the code."
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail where they are not up to date"
    )
    check = parser.parse_args().check
    try:
        texts = read_texts("en")
        if faults := problems(texts):
            raise TableError("\n".join(faults))
    except TableError as error:
        print(f"{error}\nThe texts are in docs/reference/texts.en.toml.", file=sys.stderr)
        return 1
    old = [name for name, page in pages(texts).items() if not _is(DOCS / name, page)]
    for name in old if not check else ():
        (DOCS / name).write_text(pages(texts)[name])
    if check and old:
        print(f"not up to date: {', '.join(old)}. Run scripts/reference.", file=sys.stderr)
    return 1 if check and old else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
