"""Logging in to the administration with a name and a password, logging out, and a new password of one's own."""

import secrets
from math import ceil
from typing import Any

import orjson
import structlog
from aiohttp import web

from fsharechat.admin.rights import AdminRole
from fsharechat.node import Node
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply, Rpc
from roles.api import shapes
from roles.api.addresses import counted_as
from roles.api.endpoints import WRONG_INPUT, answer, office_call, read_body, refuse, refuse_input, reply_to
from roles.api.gate import COOKIE, NOT_THE_PAGE, SECURE_COOKIE, OfficeCaller, OfficeGate, digest_of, from_page
from roles.api.keys import AccessRefused
from roles.api.passwords import Passwords, PasswordsBusy

log = structlog.get_logger(__name__)

WRONG = "the name or the password is wrong"
TOO_OFTEN = "too many tries, wait a while"
BUSY = "the server cannot do it now, try again"

PATH = "/admin/session"


class SignIn:
    """Serves PATH. The api role checks passwords. The group role counts tries, and keeps the sessions."""

    def __init__(self, node: Node, gate: OfficeGate, passwords: Passwords) -> None:
        self._rpc: Rpc = node.rpc
        self._gate = gate
        self._passwords = passwords

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post(PATH, self.begin)
        app.router.add_put(f"{PATH}/password", self.change_password)
        app.router.add_delete(PATH, self.end)

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a session, and give the browser its cookie."""
        if not from_page(request):
            return answer(403, NOT_THE_PAGE)
        try:
            asked = await read_body(shapes.SignInRequest, request)
        except WRONG_INPUT as problem:
            return refuse_input(problem)
        name = asked["name"]
        kept = await self._checked(request, name, asked["password"])
        if isinstance(kept, web.Response):
            return kept
        secret = secrets.token_urlsafe(32)
        about = {"name": name, "request": secrets.token_hex(16), "remote": request.remote or ""}
        code, result = await self._ask("accounts.begin", password=kept, digest=digest_of(secret), **about)
        if code != 200:
            return answer(code, WRONG if code == 401 else BUSY)
        response = answer(200, "success")
        response.set_cookie(
            SECURE_COOKIE if request.secure else COOKIE,
            secret,
            max_age=result["seconds"],
            path="/",
            httponly=True,
            secure=request.secure,
            samesite="Strict",
        )
        log.info("administrator logged in", name=name, address=request.remote)
        return response

    async def change_password(self, request: web.Request) -> web.Response:
        """Change the password of who is logged in, who must know the old one."""
        caller = await self._gate.enter(request)
        if isinstance(caller, AccessRefused):
            return refuse(caller)
        try:
            asked = await read_body(shapes.OwnPassword, request)
        except WRONG_INPUT as problem:
            return refuse_input(problem)
        by = caller.asks(AdminRole.READ, changes=False)
        code, who = _told(await self._rpc.call(office_call("accounts.current", {"by": by})))
        if code != 200 or not who["name"]:
            return answer(401 if code in (200, 401) else code, "log in with a name and a password first")
        kept = await self._checked(request, who["name"], asked["old"])
        if isinstance(kept, web.Response):
            return kept
        try:
            new = await self._passwords.hash(asked["password"])
        except PasswordsBusy:
            return answer(503, BUSY)
        by = caller.asks(AdminRole.READ, changes=True, target=who["name"])
        return await reply_to(self._rpc, "accounts.own_password", {"password": new, "by": by})

    async def end(self, request: web.Request) -> web.Response:
        """End the session, and take the cookie back."""
        caller = await self._gate.enter(request)
        if isinstance(caller, AccessRefused):
            return refuse(caller)
        response = await self._logged_out(caller)
        for name in (COOKIE, SECURE_COOKIE):
            response.del_cookie(name, path="/", secure=name == SECURE_COOKIE)
        return response

    async def _logged_out(self, caller: OfficeCaller) -> web.Response:
        by = caller.asks(AdminRole.READ, changes=True)
        return await reply_to(self._rpc, "accounts.logout", {"by": by})

    async def _checked(self, request: web.Request, name: str, password: str) -> str | web.Response:
        """Return the kept text of the password of `name`, or the refusal if `password` is another one."""
        address = counted_as(request.remote)
        code, found = await self._ask("accounts.try", name=name, address=address)
        if code != 200:
            return answer(503, BUSY)
        if found["waitMs"]:
            response = answer(429, TOO_OFTEN)
            response.headers["Retry-After"] = str(ceil(found["waitMs"] / 1000))
            return response
        kept: str = found["password"]
        try:
            right = await self._passwords.matches(kept, password)
        except PasswordsBusy:
            return answer(503, BUSY)
        if right:
            return kept
        log.warning("administrator refused", address=request.remote, known=bool(kept))
        about = {"name": name, "request": secrets.token_hex(16), "remote": request.remote or ""}
        await self._ask("accounts.refuse", **about)
        return answer(401, WRONG)

    async def _ask(self, op: str, **asked: object) -> tuple[int, Any]:
        """Ask the group role. Return the status of HTTP and the result."""
        body = orjson.dumps({**asked, "op": op})
        return _told(await self._rpc.call(Call(Method.ADMIN, "", "", body)))


def _told(reply: Reply) -> tuple[int, Any]:
    if reply.code != Code.SUCCESS:
        return 503, None
    told = orjson.loads(reply.payload)
    return told["code"], told["result"]
