"""The back office over HTTP: each endpoint checks who asks and the shape of a request, and asks the group role."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from aiohttp import web

from fsharechat.admin.rights import BY_SESSION, AdminRole, AskedBy
from fsharechat.node import Node
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply, Rpc
from fsharechat.settings import Settings
from roles.api.gate import OfficeCaller, OfficeGate
from roles.api.keys import AccessRefused
from roles.api.passwords import Passwords, PasswordsBusy
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
    """Fields of the request for the log and the audit log, besides those of the path; of a list, its length."""
    needs: AdminRole = AdminRole.ALL
    """What a named administrator must be. Who has the key may do everything."""
    target: str = ""
    """The field that says whom it is about; else the first one of the path."""
    hashed: str = ""
    """The field with a password, which the group role gets hashed."""
    merge: Callable[[list[Any]], Any] | None = None
    """Makes one result of those of all group processes. Without it one process is asked."""

    noted: bool = False
    """Whether it belongs into the audit log although it changes nothing."""

    @property
    def changes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"

    @property
    def audited(self) -> bool:
        """Whether its requests belong into the audit log."""
        return self.changes or self.noted


class BackOffice:
    """Serves endpoints, to whom `gate` lets in."""

    def __init__(self, node: Node, gate: OfficeGate, passwords: Passwords) -> None:
        self._settings = node.settings
        self._rpc = node.rpc
        self._gate = gate
        self._passwords = passwords

    def add(self, app: web.Application, endpoint: Endpoint) -> None:
        """Add an endpoint to an application."""

        async def serve(request: web.Request) -> web.Response:
            return await self._serve(endpoint, request)

        app.router.add_route(endpoint.method, endpoint.path, serve)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        caller = await self._gate.enter(request)
        if isinstance(caller, AccessRefused):
            return refuse(caller)
        try:
            asked = await _read(endpoint, request)
            prepared = endpoint.prepare(asked, self._settings)
            if endpoint.hashed:
                prepared[endpoint.hashed] = await self._passwords.hash(prepared[endpoint.hashed])
        except WRONG_INPUT as problem:
            return refuse_input(problem)
        except PasswordsBusy:
            return answer(503, "the server cannot do it now, try again")
        shown = {
            name: len(value) if isinstance(value, list) else value
            for name, value in asked.items()
            if name in endpoint.logged or name in request.match_info
        }
        prepared["by"] = _asked_by(endpoint, caller, asked, shown)
        if endpoint.merge is not None:
            response = await reply_of_all(self._rpc, endpoint.op, prepared, endpoint.merge)
        else:
            response = await reply_to(self._rpc, endpoint.op, prepared)
        about = {"op": endpoint.op, "way": caller.way, "address": request.remote, "code": response.status}
        if caller.way == "account" and not endpoint.changes:  # the page looks every few seconds
            log.debug("back office", **about, **shown)
        else:
            log.info("back office", **about, **shown)
        return response


def _asked_by(
    endpoint: Endpoint, caller: OfficeCaller, asked: dict[str, Any], shown: dict[str, Any]
) -> AskedBy:
    names = re.findall(r"{(\w+)}", endpoint.path)
    target = endpoint.target or (names[0] if names else "")
    details = {name: value for name, value in shown.items() if name != target}
    by = caller.asks(endpoint.needs, endpoint.audited, str(asked.get(target, "")), details)
    by["goes_on"] = bool(asked.get("after"))
    return by


WRONG_INPUT = (BadRequest, web.HTTPRequestEntityTooLarge, TimeoutError)
"""What reading a request may raise."""


def refuse_input(problem: Exception) -> web.Response:
    """Return the answer to a request that raised WRONG_INPUT."""
    if isinstance(problem, web.HTTPRequestEntityTooLarge):
        return answer(413, f"the body may have {MAX_BODY} bytes")
    if isinstance(problem, TimeoutError):
        return answer(408, "the body did not come")
    return answer(400, str(problem))


async def _read(endpoint: Endpoint, request: web.Request) -> dict[str, Any]:
    """Return the parameters of a request. Raises WRONG_INPUT."""
    asked: dict[str, Any] = dict(request.match_info)
    if endpoint.query is not None:
        asked |= read(endpoint.query, dict(request.query))
    if endpoint.body is not None:
        asked |= await read_body(endpoint.body, request)
    return asked


async def read_body(shape: type[ApiObject], request: web.Request) -> dict[str, Any]:
    """Return the body of a request. Raises WRONG_INPUT."""
    async with asyncio.timeout(BODY_SECONDS):
        raw = await request.clone(client_max_size=MAX_BODY).read()
    try:
        given = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("the body must be JSON") from None
    if not isinstance(given, dict):
        raise BadRequest("the body must be a JSON object")
    return read(shape, given)


async def reply_to(rpc: Rpc, op: str, asked: dict[str, Any]) -> web.Response:
    """Return the answer of the group role to an operation; `asked` has an AskedBy as `by`."""
    return _response(await rpc.call(office_call(op, asked)))


async def reply_of_all(
    rpc: Rpc, op: str, asked: dict[str, Any], merge: Callable[[list[Any]], Any]
) -> web.Response:
    """Return one answer of all group processes, of those that answer; else the refusal of one."""
    replies = await asyncio.gather(*rpc.call_all(office_call(op, asked)))
    results = []
    for reply in replies:
        if reply.code == Code.SUCCESS:
            told = orjson.loads(reply.payload)
            if told["code"] != 200:
                return _response(reply)
            results.append(told["result"])
    if not results:
        return _response(replies[0] if replies else Reply(Code.SERVER_ERROR))
    return _json(200, {"code": 200, "message": "success", "result": merge(results)})


def office_call(op: str, asked: dict[str, Any]) -> Call:
    """Return the call for an operation; `asked` has an AskedBy as `by`."""
    body = {**asked, "op": op}
    if asked["by"]["way"] == "account":
        body = {"op": BY_SESSION, "asked": body}
    return Call(Method.ADMIN, "", "", orjson.dumps(body))


def _response(reply: Reply) -> web.Response:
    if reply.code != Code.SUCCESS:
        return answer(*_SILENCE.get(reply.code, (500, f"the group role answered code {reply.code}")))
    status = orjson.loads(reply.payload)["code"]
    return _raw(status, reply.payload)


def answer(status: int, message: str) -> web.Response:
    """Return an answer without a result, in the form of the back office."""
    return _json(status, {"code": status, "message": message, "result": None})


def refuse(refused: AccessRefused) -> web.Response:
    """Return the answer to a request that may not come in."""
    response = answer(refused.status, refused.why)
    response.headers.update(refused.headers)
    return response


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return _raw(status, orjson.dumps(body))


def _raw(status: int, body: bytes) -> web.Response:
    """Return JSON that no cache may keep."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)
