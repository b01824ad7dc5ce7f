"""The HTTP application: login (contract.md section 3), and the health of the process."""

import asyncio
from collections import Counter
from typing import Any

import orjson
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.http import refuse_encoded
from fsharechat.node import Node
from fsharechat.protocol.signals import Code, LoginCode
from fsharechat.rpc import Call, Method
from roles.api import back_office, pages, turn, uploads
from roles.api.addresses import Waits, behind_proxies, counted_as
from roles.api.texts import Language, Wrong, language, said

log = structlog.get_logger(__name__)

MAX_BODY = 64 * 1024
MAX_TEXT = 255
MAX_NAME = 64
"""The most characters of a device's name."""
BODY_SECONDS = 10.0
"""How long the body of a login may take to arrive, s."""


def make_app(node: Node) -> web.Application:
    """Return the application. It asks the group role for everything."""
    settings = node.settings.api
    statuses: Counter[int] = Counter()
    node.metrics.counter(
        "http_requests",
        "Answered HTTP requests.",
        lambda: [((str(status),), count) for status, count in statuses.items()],
        ("status",),
    )
    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[
            cors(settings.cors_origins),
            behind_proxies(settings.trusted_proxies),
            tell_refused(statuses),
            refuse_encoded,
        ],
    )
    login = Login(node)
    app.router.add_post("/send_code", login.send_code)
    app.router.add_post("/login", login.login)
    turn.add_routes(app, node)
    node.health.add_routes(app)
    if isinstance(node.blobs, DirectoryBlobs):
        uploads.add_routes(app, node.blobs, uploads.GroupQuota(node.rpc))
    back_office.add_routes(app, node)
    pages.add_routes(app, node)
    return app


def cors(origins: tuple[str, ...]) -> Middleware:
    """Allow calls from pages of the given origins ("*": any): web clients are served from elsewhere.

    The back office allows no page: only a caller with the key may see its answers.
    """

    @web.middleware
    async def allow(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        allowed = origin is not None and ("*" in origins or origin in origins)
        allowed = allowed and not request.path.startswith(back_office.PATHS)
        granted = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if allowed and origin else {}
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            response: web.StreamResponse = web.Response(status=204 if allowed else 403)
            response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, OPTIONS"
            response.headers["Access-Control-Allow-Headers"] = request.headers.get(
                "Access-Control-Request-Headers", "Content-Type"
            )
            response.headers["Access-Control-Max-Age"] = "86400"
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                error.headers.update(granted)
                raise
        response.headers.update(granted)
        return response

    return allow


def tell_refused(statuses: Counter[int]) -> Middleware:
    """Count requests by status, and log refused ones at level debug."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        status = 500
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            statuses[status] += 1
            _tell_status(request, status)
        return response

    return tell


def _tell_status(request: web.Request, status: int) -> None:
    if status >= 400:
        log.debug(
            "request refused",
            method=request.method,
            path=request.path,
            status=status,
            address=request.remote,
        )


class LoginAnswer(web.Response):
    """The answer to a request for a code or to a login, in JSON. `code` says what came of it."""

    def __init__(self, code: LoginCode, message: str, result: object, status: int) -> None:
        body = orjson.dumps({"code": code, "message": message, "result": result})
        super().__init__(body=body, status=status, content_type="application/json")
        self.code = code


class Login:
    """Codes and logins. The store counts the requests of an address. Refused addresses are remembered here."""

    def __init__(self, node: Node) -> None:
        self._rpc = node.rpc
        self._codes, self._logins = Waits(), Waits()
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

    async def send_code(self, request: web.Request) -> web.Response:
        return self._counted("code", await self._ask(request, self._codes, Method.SEND_CODE, ("mobile",)))

    async def login(self, request: web.Request) -> web.Response:
        keys = ("mobile", "code", "clientId")
        return self._counted("login", await self._ask(request, self._logins, Method.LOGIN, keys))

    def _counted(self, what: str, response: LoginAnswer) -> LoginAnswer:
        self._results[what, response.code.name.lower()] += 1
        return response

    async def _ask(
        self, request: web.Request, waits: Waits, method: Method, keys: tuple[str, ...]
    ) -> LoginAnswer:
        speaks = language(request.headers.getall("Accept-Language", ()))
        address = counted_as(request.remote)
        if waits.seconds(address):
            self._limited += 1
            return answer(LoginCode.TOO_OFTEN, speaks)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = orjson.loads(await request.read())
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not come\n") from None
        except orjson.JSONDecodeError:
            return refused(said(Wrong.NO_JSON, speaks))
        if not isinstance(body, dict):
            return refused(said(Wrong.NO_OBJECT, speaks))
        wanted: dict[str, str] = {"address": address}
        for key in keys:
            value = body.get(key, "")
            if type(value) is int:
                value = str(value)
            if type(value) is not str:  # not even as text: nested JSON may be endless
                code = LoginCode.INVALID_NUMBER if key == "mobile" else LoginCode.SERVER_ERROR
                return refused(said(Wrong.FIELD, speaks, field=key, most=MAX_TEXT), code)
            if not 0 < len(value) <= MAX_TEXT:
                return refused(said(Wrong.FIELD, speaks, field=key, most=MAX_TEXT))
            wanted[key] = value
        invitation = body.get("invitation", "")
        if type(invitation) is str and len(invitation) <= MAX_TEXT:
            wanted["invitation"] = invitation
        if method is Method.LOGIN:
            agent = request.headers.get("User-Agent", "")
            name = body.get("deviceName", "")
            wanted["agent"] = _readable(agent, MAX_TEXT)
            wanted["deviceName"] = _readable(name, MAX_NAME) if type(name) is str else ""
        reply = await self._rpc.call(Call(method, "", "", orjson.dumps(wanted)))
        if reply.code != Code.SUCCESS:
            return answer(LoginCode.SERVER_ERROR, speaks)
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
        if told.get("uninvited"):
            return LoginAnswer(LoginCode(told["code"]), said(Wrong.INVITATION, speaks), None, 200)
        return answer(LoginCode(told["code"]), speaks, told["result"])


def _readable(text: str, most: int) -> str:
    """Return the beginning of a text about a device, without what cannot be shown."""
    return "".join(sign for sign in text[:most] if sign.isprintable()).strip()


def refused(message: str, code: LoginCode = LoginCode.SERVER_ERROR) -> LoginAnswer:
    return LoginAnswer(code, message, None, 400)


def answer(code: LoginCode, speaks: Language, result: object = None) -> LoginAnswer:
    """Return a result with the sentence for clients to show."""
    return LoginAnswer(code, said(code, speaks), result, 200)
