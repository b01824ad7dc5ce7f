"""Writes docs/reference-*.md and docs/zh/reference-*.md: every log event, metric and setting, found in the code.

The code gives the names; docs/reference/texts.en.toml and texts.zh.toml say what they mean. Both files have the same
keys, with one difference: the English sentences about settings are the comments in settings.toml.
"""

import argparse
import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PACKAGES = ("fsharechat", "roles")
NO_SERVER = ("fsharechat/client/", "fsharechat/admin/")
"""Code that runs in users' programs: it logs through `logging`, with its own sentences."""

LEVELS = ("debug", "info", "warning", "error")
_LEVEL_OF = {**{level: level for level in LEVELS}, "exception": "error", "log": "warning"}
_FAMILIES = {"counter": "_total", "gauge": "", "info": "_info", "histogram": ""}

AREAS = (
    "fsharechat/store",
    "fsharechat/bus",
    "fsharechat/registry",
    "fsharechat/rpc",
    "roles/connector",
    "roles/group",
    "roles/api",
    "",
)
"""Where an event comes from: folders of the code; "" is the rest."""

PAGES = {"en": DOCS, "zh": DOCS / "zh"}
"""Each language, with the folder of its pages."""


_WORDS = {
    *("made", "other", "other.folder", *(f"area {folder}".rstrip() for folder in AREAS)),
    *(f"{page}.{part}" for page in ("events", "metrics", "settings") for part in ("title", "about")),
    *("event", "level", "keys", "meaning", "metric", "kind", "of", "key", "default"),
}
"""The keys of [words]: what every page says, and the heads of the tables."""


class TableError(Exception):
    """The tables cannot show everything in the code. The text has a line for each problem."""


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
class SettingRow:
    section: str
    key: str
    default: str
    comment: str

    @property
    def path(self) -> str:
        return f"{self.section}.{self.key}"


@dataclass(frozen=True)
class Texts:
    """The texts of the tables in one language: each of the four tables of its file, by key."""

    language: str
    words: Mapping[str, str]
    events: Mapping[str, str]
    metrics: Mapping[str, str]
    settings: Mapping[str, str]

    @property
    def path(self) -> Path:
        return DOCS / "reference" / f"texts.{self.language}.toml"


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield each file of the server, by its path from the root, with its syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(NO_SERVER):
                yield name, ast.parse(path.read_text())


@cache
def find_events() -> Mapping[str, Event]:
    """Return the events that the code logs, by name. Raises TableError if a name is not a literal text."""
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
        match node:
            case ast.Call(func=ast.Attribute(value=logger, attr=method)) if method in _LEVEL_OF:
                if re.fullmatch(r"(\w+\.)*_?log", ast.unparse(logger)):
                    yield node, _LEVEL_OF[method]


def _text(call: ast.Call, constants: Mapping[str, str]) -> str | None:
    """Return the event of a call: its first argument, or the second one for `log.log`."""
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


@cache
def find_metrics() -> Sequence[Metric]:
    """Return the metrics that the code publishes, in the order of their names."""
    found = []
    for file, tree in sources():
        area = next(area for area in AREAS if file.startswith(area))
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="counter" | "gauge" | "info" | "histogram" as kind),
                    args=[ast.Constant(value=str(name)), ast.Constant(value=str(help)), *_],
                ):
                    found.append(Metric(f"fsharechat_{name}{_FAMILIES[kind]}", kind, help, area))
    return sorted(found, key=lambda metric: metric.name)


def find_settings() -> list[SettingRow]:
    """Return the settings of settings.toml, in its order, each with the comment above it."""
    found = []
    section, comment = "", list[str]()
    for line in (ROOT / "settings.toml").read_text().splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section, comment = heading[1], []
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif key := re.fullmatch(r"(\w+) = (.+)", line):
            default = '"""…"""' if key[2] == '"""' else key[2]
            found.append(SettingRow(section, key[1], default, " ".join(comment)))
            comment = []
        elif not line:
            comment = []
    return found


def read_texts(language: str) -> Texts:
    """Return the texts of a language. English takes those of the settings from settings.toml."""
    file = tomllib.loads((DOCS / "reference" / f"texts.{language}.toml").read_text())
    settings = file["settings"] if language != "en" else {one.path: one.comment for one in find_settings()}
    return Texts(language, file["words"], file["events"], file["metrics"], settings)


def problems(texts: Texts) -> list[str]:
    """Return a line for each text that is missing, and for each text of something that is gone."""
    kinds = {
        "word": (_WORDS, texts.words),
        "event": (find_events().keys(), texts.events),
        "metric": ({metric.name for metric in find_metrics()}, texts.metrics),
        "setting": ({setting.path for setting in find_settings()}, texts.settings),
    }
    found = []
    for kind, (there, told) in kinds.items():
        found += [f"the {kind} {name!r} has no text" for name in sorted(there - told.keys())]
        found += [f"the {kind} {name!r} is not in the code any more" for name in sorted(told.keys() - there)]
    return [f"{texts.path.name}: {line}" for line in found]


def pages(texts: Texts) -> dict[Path, str]:
    """Return the pages of a language by their paths."""
    bodies = {
        "events": _event_tables(texts),
        "metrics": _metric_table(texts),
        "settings": _setting_tables(texts),
    }
    return {
        PAGES[texts.language] / f"reference-{name}.md": _page(texts, name, body)
        for name, body in bodies.items()
    }


def _page(texts: Texts, name: str, body: Iterable[str]) -> str:
    word = texts.words
    other = f"[{word['other']}]({word['other.folder']}reference-{name}.md)"
    return "\n".join(
        (f"# {word[f'{name}.title']}", "", other, "", word["made"], "", word[f"{name}.about"], "", *body)
    )


def _event_tables(texts: Texts) -> Iterator[str]:
    events = find_events().values()
    for folder in ("", *filter(None, AREAS)):
        rows = sorted(
            (event for event in events if event.area == folder), key=lambda event: event.name.lower()
        )
        yield from (f"## {texts.words[f'area {folder}'.rstrip()]}", "")
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
    rows = (
        (f"`{one.name}`", one.kind, texts.words[f"area {one.area}".rstrip()], texts.metrics[one.name])
        for one in find_metrics()
    )
    return _table(texts, ("metric", "kind", "of", "meaning"), rows)


def _setting_tables(texts: Texts) -> Iterator[str]:
    sections: dict[str, list[SettingRow]] = defaultdict(list)
    for setting in find_settings():
        sections[setting.section].append(setting)
    for section, settings in sections.items():
        yield from (f"## [{section}]", "")
        rows = ((f"`{one.key}`", f"`{one.default}`", texts.settings[one.path]) for one in settings)
        yield from _table(texts, ("key", "default", "meaning"), rows)


def _table(texts: Texts, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    heads = [texts.words[head] for head in heads]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/reference",
        description="Writes docs/reference-*.md and docs/zh/reference-*.md from the code.",
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail where they are not up to date"
    )
    check = parser.parse_args().check
    try:
        languages = [read_texts(language) for language in PAGES]
        if faults := [line for texts in languages for line in problems(texts)]:
            raise TableError("\n".join(faults))
    except TableError as error:
        print(f"{error}\nThe texts are in docs/reference/texts.*.toml.", file=sys.stderr)
        return 1
    made = {path: page for texts in languages for path, page in pages(texts).items()}
    old = [path for path, page in made.items() if not _is(path, page)]
    for path in old if not check else ():
        path.write_text(made[path])
    if check and old:
        names = ", ".join(path.relative_to(ROOT).as_posix() for path in old)
        print(f"not up to date: {names}. Run scripts/reference.", file=sys.stderr)
    return 1 if check and old else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())
