"""The back office over HTTP: each endpoint checks the key and the shape of a request, and asks the group role."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiohttp import web

from fsharechat.node import Node
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from roles.api.keys import KeyGuard
from roles.api.shapes import ApiObject, BadRequest, read

log = structlog.get_logger(__name__)

MAX_BODY = 1_000_000
"""The largest request, bytes: one call between processes must carry it, with its envelope."""

BODY_SECONDS = 30.0
"""How long a body may take to arrive, s."""

_SILENCE: dict[int, tuple[int, str]] = {
    Code.TIMEOUT: (504, "no answer in time; it may still have been done"),
    Code.SERVER_ERROR: (503, "the server cannot do it now, try again"),
    Code.NOT_IMPLEMENTED: (501, "the group role does not know this; is it of an older version?"),
}


def _unchanged(request: dict[str, Any], _: Settings) -> dict[str, Any]:
    return request


@dataclass(frozen=True)
class Endpoint:
    """A path of the back office, and the operation of the group role behind it.

    The operation gets the parameters of path, query and body together, after `prepare`, which may raise BadRequest.
    """

    method: str
    path: str
    op: str
    summary: str
    answer: Any
    """The type of the `result` in the answer."""
    tag: str
    query: type[ApiObject] | None = None
    body: type[ApiObject] | None = None
    prepare: Callable[[dict[str, Any], Settings], dict[str, Any]] = _unchanged
    logged: tuple[str, ...] = ()
    """Fields of the request for the log, besides those of the path. Of a list the log shows the length."""


class BackOffice:
    """Serves endpoints. All requests with a key share `guard`."""

    def __init__(self, node: Node, guard: KeyGuard) -> None:
        self._settings = node.settings
        self._rpc = node.rpc
        self._guard = guard

    def add(self, app: web.Application, endpoint: Endpoint) -> None:
        """Add an endpoint to an application."""

        async def serve(request: web.Request) -> web.Response:
            return await self._serve(endpoint, request)

        app.router.add_route(endpoint.method, endpoint.path, serve)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        refused = await self._guard.check(request)
        if refused is not None:
            response = answer(refused.status, refused.why)
            response.headers.update(refused.headers)
            return response
        try:
            asked = await _read(endpoint, request)
            call = endpoint.prepare(asked, self._settings)
        except BadRequest as problem:
            return answer(400, str(problem))
        except web.HTTPRequestEntityTooLarge:
            return answer(413, f"the body may have {MAX_BODY} bytes")
        except TimeoutError:
            return answer(408, "the body did not come")
        reply = await self._rpc.call(Call(Method.ADMIN, "", "", orjson.dumps({**call, "op": endpoint.op})))
        response = _response(reply)
        shown = {name: asked[name] for name in endpoint.logged}
        log.info(
            "back office",
            op=endpoint.op,
            address=request.remote,
            code=response.status,
            **request.match_info,
            **{name: len(value) if isinstance(value, list) else value for name, value in shown.items()},
        )
        return response


async def _read(endpoint: Endpoint, request: web.Request) -> dict[str, Any]:
    """Return the parameters of a request. Raises BadRequest, HTTPRequestEntityTooLarge and TimeoutError."""
    asked: dict[str, Any] = dict(request.match_info)
    if endpoint.query is not None:
        asked |= read(endpoint.query, dict(request.query))
    if endpoint.body is not None:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await request.clone(client_max_size=MAX_BODY).read()
        try:
            given = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise BadRequest("the body must be JSON") from None
        if not isinstance(given, dict):
            raise BadRequest("the body must be a JSON object")
        asked |= read(endpoint.body, given)
    return asked


def _response(reply: Reply) -> web.Response:
    if reply.code != Code.SUCCESS:
        return answer(*_SILENCE.get(reply.code, (500, f"the group role answered code {reply.code}")))
    status = orjson.loads(reply.payload)["code"]
    return web.Response(body=reply.payload, status=status, content_type="application/json")


def answer(status: int, message: str) -> web.Response:
    """Return a refusal in the form of the back office."""
    return web.json_response({"code": status, "message": message, "result": None}, status=status)
