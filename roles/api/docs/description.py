"""The OpenAPI 3.1 description of the api role, made from its routes."""

import re
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter

from fsharechat import __version__
from roles.api.docs.public import PUBLIC
from roles.api.endpoints import MAX_BODY, Endpoint
from roles.api.gate import COOKIE
from roles.api.pages import PAGES

Object = dict[str, Any]

SCHEMAS = "#/components/schemas/"

_NAMES = {
    "user": "A uid, or a login number.",
    "id": "The id of an account, from the list of them.",
    "clientId": "The client id of a device, percent-encoded.",
    "group": "The id of a group.",
    "member": "The uid of a member.",
    "account": "The name of an administrator.",
    "robot": "The uid of a robot.",
    "bot": "The name of a bot.",
    "invitation": "The id of an invitation.",
    "report": "The id of a report of abuse.",
}
_REFUSALS = {
    400: "The request is wrong; the message names the field.",
    401: "The key is missing or wrong, or the session has ended.",
    403: "The server has no key, or the administrator may not do it.",
    404: "There is no such user, device, group, bot, invitation or report.",
    409: "The present state does not allow it; the message says why.",
    413: f"The body is larger than {MAX_BODY} bytes.",
    415: "The body has a Content-Encoding.",
    429: "Too many wrong keys from this address; Retry-After says how long to wait. The right key still works.",
    503: "It cannot be done now. Try again.",
    504: "No answer in time. It may still have been done.",
}
_REFUSAL = {
    "type": "object",
    "description": "The answer to a refused request of the back office.",
    "properties": {
        "code": {"type": "integer", "description": "The HTTP status."},
        "message": {"type": "string", "description": "Why, for people."},
        "result": {"type": "null"},
    },
    "required": ["code", "message", "result"],
}
_INTRODUCTION = (
    "The HTTP interface of this server: the login of clients, and the back office. The back office needs the key "
    "from the setting `[api] key`, as `Authorization: Bearer KEY` or `X-API-Key: KEY`, or the cookie of a named "
    "administrator and the header `X-Requested-With: fsharechat`. `x-role` is the role that the administrator needs. "
    'The back office answers `{"code", "message", "result"}`, where the code is the HTTP status.'
)


def describe(app: web.Application, endpoints: Iterable[Endpoint]) -> Object:
    """Return the description. Raises LookupError for a route of the application without a description."""
    schemas = Schemas()
    by_route = {(endpoint.method, endpoint.path): endpoint for endpoint in endpoints}
    paths: dict[str, Object] = {}
    for route in sorted(routes(app)):
        method, path = route
        if (endpoint := by_route.get(route)) is not None:
            operation = _back_office(endpoint, schemas)
        else:
            operation = _public(path, PUBLIC[route], schemas)
        paths.setdefault(path, {})[method.lower()] = {
            "operationId": _operation_id(method, path),
            **operation,
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "fsharechat", "version": __version__, "description": _INTRODUCTION},
        "paths": paths,
        "components": {
            "schemas": {"Refusal": _REFUSAL, **dict(sorted(schemas.known.items()))},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def routes(app: web.Application) -> set[tuple[str, str]]:
    """Return the methods and paths that an application serves to programs. GET includes HEAD."""
    pages = app.get(PAGES, frozenset())
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD" and route.resource.canonical not in pages
    }


class Schemas:
    """Schemas of types. Referenced types are collected in `known`."""

    def __init__(self) -> None:
        self.known: dict[str, Object] = {}

    def of(self, kind: Any, *, answered: bool) -> Object:
        """Return the schema of a type; for an object, a reference. `answered`: every field is there."""
        schema = TypeAdapter(kind).json_schema(
            ref_template=SCHEMAS + "{model}", mode="serialization" if answered else "validation"
        )
        self.known |= schema.pop("$defs", {})
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            self.known[kind.__name__] = schema
            return {"$ref": SCHEMAS + kind.__name__}
        return schema


def _back_office(endpoint: Endpoint, schemas: Schemas) -> Object:
    result = schemas.of(endpoint.answer, answered=True)
    answer = {
        "type": "object",
        "properties": {"code": {"const": 200}, "message": {"const": "success"}, "result": result},
        "required": ["code", "message", "result"],
    }
    responses: Object = {"200": _answer("Done.", answer)}
    for status, why in _REFUSALS.items():
        responses[str(status)] = _answer(why, {"$ref": f"{SCHEMAS}Refusal"})
    operation: Object = {
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "security": [{"bearer": []}, {"header": []}, {"cookie": []}],
        "x-role": endpoint.needs.name.lower(),
        "parameters": _path_parameters(endpoint.path, _NAMES),
        "responses": responses,
    }
    if endpoint.query is not None:
        schema = TypeAdapter(endpoint.query).json_schema()
        operation["parameters"] += [
            {
                "name": name,
                "in": "query",
                "description": field.pop("description", ""),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    if endpoint.body is not None:
        operation["requestBody"] = _body(schemas.of(endpoint.body, answered=False))
    return operation


def _public(path: str, described: Object, schemas: Schemas) -> Object:
    responses = {
        str(status): _answer(why, schemas.of(kind, answered=True)) if kind else {"description": why}
        for status, (why, kind) in described["responses"].items()
    }
    operation: Object = {
        "tags": described["tags"],
        "summary": described["summary"],
        "parameters": _path_parameters(path, described.get("names", {})) + described.get("parameters", []),
        "responses": responses,
    }
    if "body" in described:
        operation["requestBody"] = _body(schemas.of(described["body"], answered=False))
    elif "file" in described:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {}}}
    return operation


def _path_parameters(path: str, names: dict[str, str]) -> list[Object]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": names[name],
            "schema": {"type": "string"},
        }
        for name in re.findall(r"{(\w+)}", path)
    ]


def _body(schema: Object) -> Object:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answer(why: str, schema: Object) -> Object:
    return {"description": why, "content": {"application/json": {"schema": schema}}}


def _operation_id(method: str, path: str) -> str:
    words = re.findall(r"\w+", path.replace("_", " "))
    return method.lower() + "".join(word[:1].upper() + word[1:] for word in words)
