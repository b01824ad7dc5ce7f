"""The HTTP application: login (protocol.md section 3), and what tells of the process's health."""

import asyncio

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.node import Node
from fsharechat.protocol.signals import Code, LoginCode
from fsharechat.rpc import Call, Method
from roles.api import back_office, uploads
from roles.api.addresses import AddressLimit, behind_proxies

MAX_BODY = 64 * 1024
MAX_TEXT = 255
BODY_SECONDS = 10.0
"""The body of a login has so long to arrive."""


def make_app(node: Node) -> web.Application:
    """Return the application; it asks the group role for everything."""
    settings = node.settings.api
    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[cors(settings.cors_origins), behind_proxies(settings.trusted_proxies)],
    )
    login = Login(node)
    app.router.add_post("/send_code", login.send_code)
    app.router.add_post("/login", login.login)
    node.health.add_routes(app)
    if isinstance(node.blobs, DirectoryBlobs):
        uploads.add_routes(app, node.blobs)
    back_office.add_routes(app, node)
    return app


def cors(origins: tuple[str, ...]) -> Middleware:
    """Let pages of the given origins ("*": any) call: web clients are served from elsewhere.

    The back office is for no page: one that guesses at its key would have its visitor locked out.
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


class Login:
    def __init__(self, node: Node) -> None:
        self._rpc = node.rpc
        settings = node.settings.api
        self._codes = AddressLimit(settings.codes_per_address, settings.address_seconds)
        self._logins = AddressLimit(settings.logins_per_address, settings.address_seconds)
        node.metrics.counter(
            "login_limited",
            "Requests for codes and logins beyond the limit of their address.",
            lambda: self._codes.refused + self._logins.refused,
        )

    async def send_code(self, request: web.Request) -> web.Response:
        return await self._ask(request, self._codes, Method.SEND_CODE, ("mobile",))

    async def login(self, request: web.Request) -> web.Response:
        return await self._ask(request, self._logins, Method.LOGIN, ("mobile", "code", "clientId"))

    async def _ask(
        self, request: web.Request, limit: AddressLimit, method: Method, keys: tuple[str, ...]
    ) -> web.Response:
        if not limit.allows(request.remote, asyncio.get_running_loop().time()):
            return answer(LoginCode.TOO_OFTEN, "asked too often, try again later", 200)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = orjson.loads(await request.read())
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body did not come\n") from None
        except orjson.JSONDecodeError:
            return refused("the body must be JSON")
        if not isinstance(body, dict):
            return refused("the body must be a JSON object")
        for key in keys:
            value = body[key] = str(body.get(key, ""))
            if not 0 < len(value) <= MAX_TEXT:
                return refused(f"{key} must be a text of 1 to {MAX_TEXT} characters")
        wanted = orjson.dumps({key: body[key] for key in keys})
        reply = await self._rpc.call(Call(method, "", "", wanted))
        if reply.code != Code.SUCCESS:
            return answer(LoginCode.SERVER_ERROR, "server error", 200)
        return web.Response(body=reply.payload, content_type="application/json")


def refused(message: str) -> web.Response:
    return answer(LoginCode.SERVER_ERROR, message, 400)


def answer(code: LoginCode, message: str, status: int) -> web.Response:
    return web.json_response({"code": int(code), "message": message, "result": None}, status=status)
