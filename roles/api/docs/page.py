"""The description as one page for people, without scripts and without external content."""

import re
from collections.abc import Iterator
from html import escape
from typing import Any

from roles.api.docs.description import SCHEMAS, Object

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 small { font-weight: normal; color: #666; font-size: 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
section { margin: 1.5rem 0; }
h3 { font: 600 1rem ui-monospace, monospace; overflow-wrap: anywhere; }
h3 b { display: inline-block; min-width: 4.5rem; color: #06c; }
h4 { margin: .8rem 0 .2rem; font-size: .9rem; color: #555; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td { border-top: 1px solid #e5e5e5; padding: .25rem .6rem .25rem 0; vertical-align: top; }
td:first-child { font-family: ui-monospace, monospace; white-space: nowrap; }
td:nth-child(2) { color: #666; white-space: nowrap; }
.key { color: #a50; font-size: .85rem; }
nav a { margin-right: 1rem; }
@media (prefers-color-scheme: dark) {
  body { background: #1b1b1b; color: #ddd; } h3 b { color: #6bf; } td { border-color: #333; } a { color: #6bf; }
  h4, td:nth-child(2), h1 small { color: #999; } .key { color: #fb6; }
}
"""


def page(document: Object) -> str:
    """Return the HTML of an OpenAPI description made by `describe`."""
    info = document["info"]
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append(_operation(document, method, path, operation))
    links = "".join(f'<a href="#{_anchor(tag)}">{escape(tag)}</a>' for tag in sorted(by_tag))
    parts = [f'<h2 id="{_anchor(tag)}">{escape(tag)}</h2>{"".join(by_tag[tag])}' for tag in sorted(by_tag)]
    title = escape(info["title"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}: HTTP</title><style>{_STYLE}</style></head><body>"
        f"<h1>{title} <small>{escape(info['version'])}</small></h1>"
        f"<p>{_text(info['description'])}</p>"
        '<p>For programs: <a href="/imopenapi/openapi.json">openapi.json</a></p>'
        f"<nav>{links}</nav>{''.join(parts)}</body></html>"
    )


def _text(plain: str) -> str:
    """Return a text of the description, with `this` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(plain))


def _anchor(tag: str) -> str:
    return escape(tag.lower().replace(" ", "-"), quote=True)


def _operation(document: Object, method: str, path: str, operation: Object) -> str:
    out = [f"<section><h3><b>{method.upper()}</b>{escape(path)}</h3><p>{_text(operation['summary'])}"]
    if operation.get("security"):
        out.append(' <span class="key">needs the key</span>')
    out.append("</p>")
    if parameters := operation["parameters"]:
        rows = [
            (one["name"], f"{one['in']}, {_kind(one['schema'])}", one.get("description", ""))
            for one in parameters
        ]
        out.append(_table("Parameters", rows))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        out.append(_table("Body", list(_fields(document, body["schema"]))))
    answer = operation["responses"]["200"].get("content", {}).get("application/json")
    if answer:
        out.append(_table("Answer", list(_fields(document, answer["schema"]))))
    rows = [(status, "", response["description"]) for status, response in operation["responses"].items()]
    out.append(f"<details><summary>Statuses</summary>{_table('', rows)}</details></section>")
    return "".join(out)


def _table(title: str, rows: list[tuple[str, str, str]]) -> str:
    lines = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"{f'<h4>{title}</h4>' if title else ''}<table>{lines}</table>"


def _fields(document: Object, schema: Object, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (name, type, description) of each field. Fields of nested objects are named by their path."""
    schema = _resolved(document, schema)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        inner = _resolved(document, field)
        needed = "" if name in required else ", may be left out"
        yield path + name, _kind(inner) + needed, field.get("description", "") or _choices(inner)
        for part in (inner, *inner.get("anyOf", ())):
            part = _resolved(document, part)
            yield from _fields(document, part, f"{path}{name}.")
            if part.get("type") == "array":
                yield from _fields(document, part["items"], f"{path}{name}[].")


def _choices(schema: Object) -> str:
    return " | ".join(map(str, schema["enum"])) if "enum" in schema else ""


def _kind(schema: Object) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(part) for part in schema["anyOf"])
    if "const" in schema:
        return repr(schema["const"])
    return str(schema.get("type", "object"))


def _resolved(document: Object, schema: Object) -> Object:
    if "$ref" in schema:
        found: Any = document["components"]["schemas"][schema["$ref"].removeprefix(SCHEMAS)]
        return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema
