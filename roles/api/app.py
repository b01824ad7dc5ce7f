"""The HTTP application: login (contract.md section 3), and the health of the process."""

from collections import Counter

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.http import refuse_encoded
from fsharechat.node import Node
from fsharechat.oidc.provider import Provider
from roles.api import back_office, pages, turn, uploads
from roles.api.addresses import behind_proxies
from roles.api.login import Login, LoginDesk
from roles.api.oidc import OidcLogin

log = structlog.get_logger(__name__)

MAX_BODY = 64 * 1024


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
    desk = LoginDesk(node)
    Login(desk).add_routes(app)
    if node.settings.oidc.on:
        OidcLogin(node, desk, Provider(node.settings.oidc)).add_routes(app)
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
