"""Login over HTTP (contract.md section 3): what is read of a request, and how it is answered."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from aiohttp import web

from fsharechat.node import Node
from fsharechat.protocol.signals import Code, LoginCode
from fsharechat.rpc import Call, Method
from roles.api.addresses import Waits, counted_as
from roles.api.texts import Language, Wrong, language, said

log = structlog.get_logger(__name__)

MAX_TEXT = 255
MAX_NAME = 64
"""The most characters of a device's name."""
BODY_SECONDS = 10.0
"""How long the body of a login may take to arrive, s."""


class LoginResponse(web.Response):
    """The answer to a request for a code or to a login, in JSON. `code` says what came of it."""

    def __init__(self, code: LoginCode, message: str, result: object, status: int) -> None:
        body = orjson.dumps({"code": code, "message": message, "result": result})
        super().__init__(body=body, status=status, content_type="application/json")
        self.code = code


class BadLogin(Exception):
    """A request does not have its form. `response` is the answer to it."""

    def __init__(self, response: LoginResponse) -> None:
        super().__init__()
        self.response = response


class LoginDesk:
    """Asks the group role about logins. The store counts the requests of an address; who must wait is kept here."""

    def __init__(self, node: Node) -> None:
        self._rpc = node.rpc
        self._limited = 0
        self._results: Counter[tuple[str, str]] = Counter()
        node.metrics.counter(
            "logins",
            "Requests for login codes, and logins, by result.",
            lambda: list(self._results.items()),
            ("request", "result"),
        )
        node.metrics.counter(
            "login_limited",
            "Requests for codes and logins beyond the limit of their address.",
            lambda: self._limited,
        )

    def counted(self, what: str, response: LoginResponse) -> LoginResponse:
        """Count an answer to a kind of request, and return it."""
        self._results[what, response.code.name.lower()] += 1
        return response

    def must_wait(self, request: web.Request, waits: Waits) -> bool:
        """Return whether the address of a request must still wait, and count the request then."""
        waiting = waits.seconds(counted_as(request.remote)) > 0
        self._limited += waiting
        return waiting

    async def ask(
        self, request: web.Request, waits: Waits, method: Method, wanted: Mapping[str, object]
    ) -> dict[str, Any]:
        """Return what the group role answers: "code", "result" and more (roles/group/login.py)."""
        address = counted_as(request.remote)
        reply = await self._rpc.call(Call(method, "", "", orjson.dumps({**wanted, "address": address})))
        if reply.code != Code.SUCCESS:
            return {"code": LoginCode.SERVER_ERROR, "result": None}
        told: dict[str, Any] = orjson.loads(reply.payload)
        if "wait_ms" in told:
            self._limited += 1
            waits.refuse(address, told["wait_ms"])
            log.warning(
                "an address has to wait",
                address=request.remote,
                path=request.path,
                seconds=told["wait_ms"] / 1000,
            )
        elif told["code"]:
            log.debug("login refused", path=request.path, code=told["code"], address=request.remote)
        return told


class Login:
    """Codes, and logins with them."""

    def __init__(self, desk: LoginDesk) -> None:
        self._desk = desk
        self._codes, self._logins = Waits(), Waits()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/send_code", self.send_code)
        app.router.add_post("/login", self.login)

    async def send_code(self, request: web.Request) -> web.Response:
        answered = await self._serve(request, self._codes, Method.SEND_CODE, ("mobile",))
        return self._desk.counted("code", answered)

    async def login(self, request: web.Request) -> web.Response:
        answered = await self._serve(request, self._logins, Method.LOGIN, ("mobile", "code", "clientId"))
        return self._desk.counted("login", answered)

    async def _serve(
        self, request: web.Request, waits: Waits, method: Method, keys: tuple[str, ...]
    ) -> LoginResponse:
        speaks = language_of(request)
        if self._desk.must_wait(request, waits):
            return answer(LoginCode.TOO_OFTEN, speaks)
        try:
            body = await read_object(request, speaks)
            wanted = texts(body, keys, speaks) | invitation(body)
        except BadLogin as bad:
            return bad.response
        if method is Method.LOGIN:
            wanted |= device(request, body)
        return answer_of(await self._desk.ask(request, waits, method, wanted), speaks)


def language_of(request: web.Request) -> Language:
    return language(request.headers.getall("Accept-Language", ()))


async def read_object(request: web.Request, speaks: Language) -> dict[str, Any]:
    """Return the body of a request. Raises BadLogin, and HTTPRequestTimeout if it does not come."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = orjson.loads(await request.read())
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body did not come\n") from None
    except orjson.JSONDecodeError:
        raise BadLogin(refused(said(Wrong.NO_JSON, speaks))) from None
    if not isinstance(body, dict):
        raise BadLogin(refused(said(Wrong.NO_OBJECT, speaks)))
    return body


def texts(
    body: Mapping[str, Any], keys: tuple[str, ...], speaks: Language, most: int = MAX_TEXT
) -> dict[str, str]:
    """Return the texts that a request must have, each of up to `most` characters. Raises BadLogin."""
    found: dict[str, str] = {}
    for key in keys:
        value = body.get(key, "")
        if type(value) is int:
            value = str(value)
        if type(value) is not str:  # not even as text: nested JSON may be endless
            code = LoginCode.INVALID_NUMBER if key == "mobile" else LoginCode.SERVER_ERROR
            raise BadLogin(refused(said(Wrong.FIELD, speaks, field=key, most=most), code))
        if not 0 < len(value) <= most:
            raise BadLogin(refused(said(Wrong.FIELD, speaks, field=key, most=most)))
        found[key] = value
    return found


def invitation(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the code of an invitation that a request brings."""
    code = body.get("invitation", "")
    return {"invitation": code} if type(code) is str and len(code) <= MAX_TEXT else {}


def device(request: web.Request, body: Mapping[str, Any]) -> dict[str, str]:
    """Return what a login says of its device."""
    name = body.get("deviceName", "")
    return {
        "agent": _readable(request.headers.get("User-Agent", ""), MAX_TEXT),
        "deviceName": _readable(name, MAX_NAME) if type(name) is str else "",
    }


def _readable(text: str, most: int) -> str:
    """Return the beginning of a text about a device, without what cannot be shown."""
    return "".join(sign for sign in text[:most] if sign.isprintable()).strip()


def refused(message: str, code: LoginCode = LoginCode.SERVER_ERROR) -> LoginResponse:
    return LoginResponse(code, message, None, 400)


def answer(code: LoginCode, speaks: Language, result: object = None) -> LoginResponse:
    """Return a result with the sentence for clients to show."""
    return said_so(code, said(code, speaks), result)


def answer_of(told: Mapping[str, Any], speaks: Language) -> LoginResponse:
    """Return the answer to a client for one of the group role."""
    code = LoginCode(told["code"])
    if told.get("uninvited"):
        return said_so(code, said(Wrong.INVITATION, speaks))
    if told.get("noCodes"):
        return said_so(code, said(Wrong.NO_CODES, speaks))
    return answer(code, speaks, told["result"])


def said_so(code: LoginCode, message: str, result: object = None) -> LoginResponse:
    """Return a result with another sentence than that of its code."""
    return LoginResponse(code, message, result, 200)
