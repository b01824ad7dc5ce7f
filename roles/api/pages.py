"""Serves the web client: the files that roles/api/web was built into, and where its connector is (docs/web.md)."""

import re
from ipaddress import IPv6Address
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from yarl import URL

from fsharechat.node import Node
from fsharechat.protocol.signals import MediaType
from fsharechat.settings_schema import WILDCARDS
from roles.api.oidc import BEGIN

log = structlog.get_logger(__name__)

BUILT = Path(__file__).parent / "web" / "dist"
"""Where `scripts/web build` puts the pages. They are in the wheel, and not in git."""

PAGES = web.AppKey("PAGES", frozenset[str])
"""The paths of the pages and of what belongs to them. They are no part of what programs may ask for."""

_HOST = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,253}|\[(?P<six>[0-9A-Fa-f:.]{2,45})\])(:[0-9]{1,5})?")
"""It goes into a header that says what the page may do, so nothing else may be in it."""

_YEAR = 31_536_000
_ASSETS = "assets"
"""The folder of files with a hash of their content in their names."""
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


def add_routes(app: web.Application, node: Node, built: Path = BUILT) -> None:
    """Serve each built file, `NAME.html` as /NAME, and /web.json: where the connector is, for the page."""
    if not node.settings.web.enabled:
        return
    if not (built / "index.html").is_file():
        log.warning("no web pages", folder=str(built))
        return
    pages = Pages(node)
    files = (file for file in sorted(built.rglob("*")) if file.is_file() and file.suffix in _TYPES)
    handlers = {_path(file.relative_to(built)): pages.of(file) for file in files}
    handlers["/web.json"] = pages.configuration
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    app[PAGES] = frozenset(handlers)


def _path(file: Path) -> str:
    if file.suffix != ".html":
        return f"/{file.as_posix()}"
    return "/" if file.stem == "index" else f"/{file.stem}"


class Pages:
    def __init__(self, node: Node) -> None:
        self._node = node

    def of(self, file: Path) -> Handler:
        """Return the handler that sends a file."""
        headers = {"Content-Type": _TYPES[file.suffix], "X-Content-Type-Options": "nosniff"}
        hashed = file.parent.name == _ASSETS
        headers["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if hashed else "no-cache"
        is_page = file.suffix == ".html"

        async def serve(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(file, headers=headers | (self._guards(request) if is_page else {}))

        return serve

    async def configuration(self, request: web.Request) -> web.Response:
        """Say where the page finds its connector, and where a login with a company account begins."""
        told: dict[str, object] = {"ws": self._connector(request)}
        oidc = self._node.settings.oidc
        if oidc.on:
            told["oidc"] = {
                "label": oidc.label,
                "url": f"{oidc.public_url}{BEGIN}",
                "codes": oidc.codes,
            }
        return web.json_response(told, headers={"Cache-Control": "no-store"})

    def _connector(self, request: web.Request) -> str:
        """Return the address of the connector: ws:// or wss://, or a path of the page's own origin."""
        if self._node.settings.web.ws_url:
            return self._node.settings.web.ws_url
        settings = self._node.settings.connector
        own = URL(self._node.addresses.get("ws", ""))
        scheme = own.scheme or ("wss" if settings.tls.certificate else "ws")
        host = _host(request)["name"].strip("[]")
        if own.host and own.host not in WILDCARDS and not _loopback(own.host):
            host = own.host
        return str(URL.build(scheme=scheme, host=host, port=own.port or settings.ws_port, path="/"))

    def _guards(self, request: web.Request) -> dict[str, str]:
        """Return the headers by which a page runs our scripts alone, and talks to our servers alone."""
        media = self._media()
        connector = self._connector(request)
        if connector.startswith("/"):
            connector = " ".join(f"{scheme}://{_host(request)[0]}" for scheme in ("ws", "wss"))
        policy = {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "font-src": "'self'",
            "manifest-src": "'self'",
            "img-src": f"'self' data: blob: {media}",
            "media-src": f"'self' blob: {media}",
            "connect-src": f"'self' {connector.rstrip('/')} {media}",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "vue dompurify",
        }
        return {
            "Content-Security-Policy": "; ".join(f"{name} {value}".strip() for name, value in policy.items()),
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=(self)",
        }

    def _media(self) -> str:
        """Return the origin from which media come."""
        found = re.match(r"https?://[^/]+", self._node.blobs.bucket_url(MediaType.FILE))
        return found[0] if found else ""


def _host(request: web.Request) -> re.Match[str]:
    """Return the host that was asked: its `name`, and all with the port. Raises HTTPBadRequest if it is none."""
    found = _HOST.fullmatch(request.host)
    if found is None or (found["six"] and not _is_ipv6(found["six"])):
        raise web.HTTPBadRequest(text="the header Host must be a host name or an address, and a port")
    return found


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
