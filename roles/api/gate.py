"""Who may use the back office: a program with the key, or the browser of a named administrator, with a cookie."""

import hashlib
import secrets
from typing import NamedTuple

from aiohttp import web

from fsharechat.admin.rights import AdminRole, AskedBy
from roles.api.keys import AccessRefused, KeyGuard, shows_key

COOKIE = "fsharechat_admin"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Its name over https: browsers take it from no other host, and send it to none, and not over http."""

PAGE_HEADER, PAGE_VALUE = "X-Requested-With", "fsharechat"
"""A page of another origin cannot send this header, as no origin is allowed to (app.cors)."""

COMMAND_AGENT = "fsharechat-admin/"
"""How the User-Agent of `fsharechat admin` begins."""

NOT_THE_PAGE = f"a request with a cookie needs the header {PAGE_HEADER}: {PAGE_VALUE}"


class OfficeCaller(NamedTuple):
    """`session` is the digest of the cookie's secret in hex, "" with the key."""

    way: str
    session: str
    address: str

    def asks(
        self, needs: AdminRole, changes: bool, target: str = "", details: dict[str, object] | None = None
    ) -> AskedBy:
        """Return what the group role is told of this caller."""
        return {
            "way": self.way,  # type: ignore[typeddict-item]
            "session": self.session,
            "needs": needs,
            "changes": changes,
            "request": secrets.token_hex(16),
            "target": target,
            "details": details or {},
            "address": self.address,
        }


class OfficeGate:
    """Lets requests in. The group role decides whether a session is still good, and what its administrator may do."""

    def __init__(self, keys: KeyGuard) -> None:
        self._keys = keys

    async def enter(self, request: web.Request) -> OfficeCaller | AccessRefused:
        address = (request.remote or "")[:64]
        secret = cookie_of(request)
        if shows_key(request) or not secret:
            refused = await self._keys.check(request)
            if refused is not None:
                return refused
            command = request.headers.get("User-Agent", "").startswith(COMMAND_AGENT)
            return OfficeCaller("command" if command else "key", "", address)
        if not from_page(request):
            return AccessRefused(403, NOT_THE_PAGE, {})
        return OfficeCaller("account", digest_of(secret), address)


def from_page(request: web.Request) -> bool:
    """Return whether a page of this origin sent a request, and no page of another one."""
    return request.headers.get(PAGE_HEADER) == PAGE_VALUE


def cookie_of(request: web.Request) -> str:
    """Return the secret of a session, "" if there is none."""
    return request.cookies.get(SECURE_COOKIE if request.secure else COOKIE, "")


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
