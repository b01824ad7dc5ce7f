"""Reads the settings: flags over FSHARECHAT_SECTION__KEY variables over settings.toml over the defaults.

The sections and their defaults are in settings_schema.py.
"""

import difflib
import json
import re
import socket
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource

from fsharechat.role import role_names
from fsharechat.settings_schema import ENV_PREFIX
from fsharechat.settings_schema import Settings as Settings  # who reads them takes the type from here too

DEV_SUPER_CODE = "66666"
SECRET_SIZE = 16
MAX_PORT = 65535
SHARED_PORTS = hasattr(socket, "SO_REUSEPORT")
"""Whether several processes of this system can listen on one port."""

KeyPath = tuple[str, ...]


class SettingInForce(NamedTuple):
    """A setting that a process runs with. `value` is as in a settings file, "***" for a secret that is set."""

    key: str
    value: str
    is_default: bool


class SettingsError(Exception):
    """The server cannot run with these settings. The text has one line for each problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class _Layer:
    """The values of one source, by section, and how a problem names the place of a key."""

    values: dict[str, Any]
    place: Callable[[KeyPath], str]


def load(settings_file: Path | None, flags: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
    """Return the settings from `flags` over `environ` over `settings_file` over the defaults.

    `flags` has the names of the command line: "roles", "data" and "workers" (None: not given) and "dev". With "dev",
    the super code is 66666 if none is set and no other machine reaches the server, and the log format "auto" becomes
    console. Raises SettingsError with every problem found.
    """
    problems: list[str] = []
    layers = [_from_flags(flags), _from_environ(environ, problems), _from_file(settings_file, problems)]
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        _merge(merged, layer.values)
    if flags.get("dev"):
        _merge(merged, _dev_values(merged))
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_problem(details, layers) for details in error.errors()]
        raise SettingsError(problems) from None
    problems += _unknown_roles(settings.node.roles, layers) or _misfits(settings, layers)
    if flags.get("dev"):
        settings, lacking = _dev_code(settings)
        problems += lacking
    if problems:
        raise SettingsError(problems)
    return settings


def key_paths(model: type[BaseModel] = Settings, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every key, such as ("connector", "tls", "key")."""
    for name, field in model.model_fields.items():
        section = _section_of(field)
        if section:
            yield from key_paths(section, (*path, name))
        else:
            yield (*path, name)


def _from_flags(flags: Mapping[str, object]) -> _Layer:
    given = {name: flags[name] for name in ("roles", "data", "workers") if flags.get(name) is not None}
    return _Layer({"node": given} if given else {}, lambda path: f"flag --{path[-1]}")


class _Variables(EnvSettingsSource):
    """Reads the given environment, not that of the process."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        super().__init__(Settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._environ.items()}


def _from_environ(environ: Mapping[str, str], problems: list[str]) -> _Layer:
    known = {_variable(path) for path in key_paths()}
    ours = {name.upper(): value for name, value in environ.items() if name.upper().startswith(ENV_PREFIX)}
    for name in sorted(ours.keys() - known):
        short = name.removeprefix(ENV_PREFIX)
        near = _did_you_mean(short, [key.removeprefix(ENV_PREFIX) for key in known], ENV_PREFIX + "{}")
        problems.append(f"environment variable {name}: no such key{near}")
    given = {name: value for name, value in ours.items() if name in known}
    for path in key_paths():
        name = _variable(path)
        if name in given and _is_tables(_field(path)) and not _is_json(given[name]):
            problems.append(
                f"environment variable {name}: must be a list of tables in JSON, [{{...}}, {{...}}]"
            )
            del given[name]
    return _Layer(_Variables(given)(), lambda path: f"environment variable {_variable(path)}")


def _from_file(file: Path | None, problems: list[str]) -> _Layer:
    values: dict[str, Any] = {}
    if file is not None:
        try:
            with file.open("rb") as stream:
                values = tomllib.load(stream)
        except FileNotFoundError:
            raise SettingsError([f"{file}: there is no such settings file"]) from None
        except OSError as error:
            raise SettingsError([f"{file}: cannot be read: {error.strerror}"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError([f"{file}: is not TOML: {error}"]) from None
        _take_out_unknown(values, Settings, (), file, problems)
    return _Layer(values, lambda path: f"file {file}")


def _take_out_unknown(
    values: dict[str, Any], model: type[BaseModel], path: KeyPath, file: Path, problems: list[str]
) -> None:
    for name in list(values):
        field = model.model_fields.get(name)
        section = _section_of(field) if field else None
        if field is None:
            what = "section" if not path or isinstance(values[name], dict) else "key"
            label = _label((*path, name), section=what == "section")
            form = _label((*path, "{}"), section=True) if what == "section" else "{}"
            near = _did_you_mean(name, model.model_fields, form)
            problems.append(f"{label}: no such {what}{near} (file {file})")
            del values[name]
        elif section and isinstance(values[name], dict):
            _take_out_unknown(values[name], section, (*path, name), file, problems)


def _dev_values(merged: dict[str, Any]) -> dict[str, Any]:
    values = merged.get("log", {})
    unset = isinstance(values, dict) and values.get("format", "auto") == "auto"
    return {"log": {"format": "console"}} if unset else {}


def with_super_code(settings: Settings, code: str) -> Settings:
    """Return settings with another super code."""
    return settings.model_copy(update={"codes": settings.codes.model_copy(update={"super_code": code})})


def with_api_key(settings: Settings, key: str) -> Settings:
    """Return settings with another key of the back office."""
    return settings.model_copy(update={"api": settings.api.model_copy(update={"key": key})})


def with_cluster_secret(settings: Settings, secret: str) -> Settings:
    """Return settings with another secret of the cluster."""
    return settings.model_copy(update={"node": settings.node.model_copy(update={"cluster_secret": secret})})


def _dev_code(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the settings with the super code of `--dev`, if everybody may know it, and the problems if not.

    A single process that other machines reach makes one for each run. Processes of a cluster would each make another.
    """
    if settings.codes.super_code:
        return settings, []
    if settings.on_this_machine:
        return with_super_code(settings, DEV_SUPER_CODE), []
    if settings.embedded or "group" not in settings.node.roles:
        return settings, []
    path = ("codes", "super_code")
    problem = "--dev needs one, the same in all group processes, where other machines reach them"
    return settings, [f"{_label(path)} = {_shown(path, '')}: {problem}"]


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = deepcopy(value)


def _problem(details: ErrorDetails, layers: list[_Layer]) -> str:
    path = _known_part(details["loc"])
    field = _field(path)
    within = details["loc"][len(path) :]
    if _is_tables(field) and within:
        return f"{_label(path)}, table {int(within[0]) + 1}{_in_table(details, field)}{_where(path, layers)}"
    if _section_of(field):
        return f"{_label(path, section=True)}: {_right(details, field)}{_where(path, layers)}"
    return (
        f"{_label(path)} = {_shown(path, details['input'])}: {_right(details, field)}{_where(path, layers)}"
    )


def _in_table(details: ErrorDetails, field: FieldInfo) -> str:
    """Return what is wrong in a table of a list. Its value may be a secret, and is not shown."""
    (model,) = _tables_of(field)
    name = next((str(name) for name in details["loc"] if name in model.model_fields), "")
    if name:
        return f", {name}: {_right(details, model.model_fields[name])}"
    if details["type"] == "extra_forbidden":
        unknown = str(details["loc"][-1])
        return f", {unknown}: no such key{_did_you_mean(unknown, model.model_fields, '{}')}"
    if details["type"] in ("model_type", "model_attributes_type"):
        return ": must be a table"
    return f": {_right(details, field)}"


def _unknown_roles(roles: tuple[str, ...], layers: list[_Layer]) -> list[str]:
    installed = role_names()
    path = ("node", "roles")
    where = _where(path, layers)
    found = ", ".join(installed) or "none: is the project installed?"
    return [
        f"{_label(path)} = {role!r}: no such role; roles found: {found}{where}"
        for role in roles
        if role not in installed
    ]


def _misfits(settings: Settings, layers: list[_Layer]) -> list[str]:
    """Return the problems between keys that are right on their own."""
    if (settings.bus.url == "memory") != (settings.registry.url == "memory"):
        path: KeyPath = ("bus", "url")
        other = _shown(("registry", "url"), settings.registry.url)
        problem = f'with [registry] url = {other}; both must be "memory", for one process, or neither, for a cluster'
        value: object = settings.bus.url
    elif settings.embedded and "group" not in settings.node.roles:
        path, value = ("node", "roles"), ",".join(settings.node.roles)
        problem = (
            'the group role would run in another process, and [bus] and [registry] url = "memory" do not reach it; '
            "set both, or run the group role in this process too"
        )
    elif not settings.embedded and len(settings.node.cluster_secret) < SECRET_SIZE:
        path, value = ("node", "cluster_secret"), settings.node.cluster_secret
        problem = (
            f"must be the same text of at least {SECRET_SIZE} characters in every process of the cluster"
        )
    elif settings.node.workers and (misfit := _misfit_of_workers(settings)):
        path, value, problem = ("node", "workers"), settings.node.workers, misfit
    else:
        return []
    return [f"{_label(path)} = {_shown(path, value)}: {problem}{_where(path, layers)}"]


def _misfit_of_workers(settings: Settings) -> str:
    """Return why these settings cannot be with workers, "" if they can."""
    if not settings.embedded:
        return (
            "workers are for one machine without Kafka and ZooKeeper; must be 0 in a cluster, "
            'where each process with --roles connector takes its part; or set [bus] and [registry] url = "memory"'
        )
    if "connector" not in settings.node.roles:
        return "workers have the connector role; must be 0, or [node] roles must name connector too"
    if not SHARED_PORTS:
        return "on this system several processes cannot listen on one port (SO_REUSEPORT); must be 0"
    port = settings.metrics.port
    if isinstance(port, int) and port and port + settings.node.workers > MAX_PORT:
        return (
            f"worker k has its metrics at [metrics] port + 1 + k; [metrics] port = {port} must be at most "
            f"{MAX_PORT - settings.node.workers}"
        )
    return ""


def _right(details: ErrorDetails, field: FieldInfo) -> str:
    """Return a description of the right value."""
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be one of {context['expected']}"
        case "string_type":
            return "must be text in quotes"
        case "path_type":
            return "must be the path of a folder, in quotes"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters"
        case "too_long":
            return f"must have at most {context['max_length']} entries"
        case "missing":
            return "must be set"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "model_type" | "model_attributes_type":
            return "is a section, not a key"
        case "tuple_type" if _is_tables(field):
            return "must be a list of tables"
        case "tuple_type":
            return 'must be a list of texts, such as ["a", "b"]'
    if field.annotation not in (int, float):
        return details["msg"]
    return f"must be a {'whole number' if field.annotation is int else 'number'}{_bounds(field)}"


def _bounds(field: FieldInfo) -> str:
    bounds = []
    for limit in field.metadata:
        match limit:
            case Ge(ge=value):
                bounds.append(f"at least {value}")
            case Gt(gt=value):
                bounds.append(f"above {value}")
            case Le(le=value):
                bounds.append(f"at most {value}")
    return f", {' and '.join(bounds)}" if bounds else ""


def _shown(path: KeyPath, value: object) -> str:
    """Return `value` for an error text: without secrets, and without the password of a URL."""
    field = _field(path)
    if field.repr is False:
        return "***"
    if _is_tables(field):
        return "[...]"  # its tables may have secrets
    return _PASSWORD.sub(r"\1:***@", repr(value))


def in_force(settings: Settings) -> list[SettingInForce]:
    """Return all settings, in the order of the file, without secrets."""
    return list(_in_force(settings, Settings(), ()))


def _in_force(model: BaseModel, defaults: BaseModel, path: KeyPath) -> Iterator[SettingInForce]:
    for name, field in type(model).model_fields.items():
        value, default = getattr(model, name), getattr(defaults, name)
        if isinstance(value, BaseModel):
            yield from _in_force(value, default, (*path, name))
            continue
        key = f"{'.'.join(path)}.{name}"
        if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for number, item in enumerate(value):
                yield from _in_force(item, item, (*path, f"{name}[{number}]"))
            continue
        hidden = field.repr is False
        shown = ("***" if value else "") if hidden else _without_password(value)
        yield SettingInForce(key, shown, value == default)


def _without_password(value: object) -> str:
    """Return a value as text, without the password of a URL in it."""
    text = str(value) if not isinstance(value, tuple) else ", ".join(map(str, value))
    return _PASSWORD.sub(r"\1:***@", text)


_PASSWORD = re.compile(r"(//[^:/@\s]*):[^/\s]*@")


def _label(path: KeyPath, section: bool = False) -> str:
    if section:
        return f"[{'.'.join(path)}]"
    return f"[{'.'.join(path[:-1])}] {path[-1]}"


def _variable(path: KeyPath) -> str:
    return ENV_PREFIX + "__".join(path).upper()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _did_you_mean(name: str, known: Iterable[str], form: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {form.format(near[0])}?" if near else ""


def _is_tables(field: FieldInfo) -> bool:
    """Return whether a setting is a list of tables."""
    return bool(_tables_of(field))


def _tables_of(field: FieldInfo) -> list[type[BaseModel]]:
    """Return the type of the tables of a list, if the setting is one."""
    return [one for one in get_args(field.annotation) if isinstance(one, type) and issubclass(one, BaseModel)]


def _section_of(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _known_part(loc: tuple[int | str, ...]) -> KeyPath:
    """Remove what pydantic adds after a key (the index in a list, the branch of a union)."""
    path: KeyPath = ()
    model: type[BaseModel] | None = Settings
    for name in loc:
        if model is None or not isinstance(name, str) or name not in model.model_fields:
            break
        path = (*path, name)
        model = _section_of(model.model_fields[name])
    return path


def _field(path: KeyPath) -> FieldInfo:
    model: type[BaseModel] = Settings
    for name in path[:-1]:
        model = _section_of(model.model_fields[name]) or model
    return model.model_fields[path[-1]]


def _where(path: KeyPath, layers: list[_Layer]) -> str:
    """Return the places that set the key. For a section, the places of the keys in it."""
    places = []
    for layer in layers:
        found: Any = layer.values
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
        if isinstance(found, dict):
            places += [layer.place((*path, name)) for name in found]
        elif found is not None:
            return f" ({layer.place(path)})"
    return f" ({', '.join(dict.fromkeys(places))})" if places else ""
