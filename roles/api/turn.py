"""GET /turn: where calls may be relayed, for programs that have no connection (docs/calling.md)."""

from aiohttp import web

from fsharechat.node import Node
from fsharechat.protocol import crypto
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, LoginCode, SubSignal
from fsharechat.rpc import Call, Method

MAX_TEXT = 255
MAX_TOKEN = 2048
_BEARER = "Bearer "
_REFUSED = frozenset(
    {
        SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST,
        SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD,
        SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED,
    }
)


def add_routes(app: web.Application, node: Node) -> None:
    async def serve(request: web.Request) -> web.Response:
        return await _serve(request, node)

    app.router.add_get("/turn", serve)


async def _serve(request: web.Request, node: Node) -> web.Response:
    """Check the login token as a CONNECT is checked, then ask as the device would."""
    uid, client_id = request.query.get("userId", ""), request.query.get("clientId", "")
    password = _password(request.headers.get("Authorization", ""))
    if password is None or not 0 < len(uid) <= MAX_TEXT or not 0 < len(client_id) <= MAX_TEXT:
        return _refused(
            401, "userId, clientId, and Authorization: Bearer with the token of the login are needed"
        )
    reply = await node.rpc.call(Call(Method.AUTHENTICATE, uid, client_id, password.encode()))
    if reply.code in _REFUSED:
        return _refused(401, "the token is not of a login of this device, or the login has ended")
    if reply.code == SubSignal.CONNECTION_ACCEPTED:
        reply = await node.rpc.call(
            Call(SubSignal.TURN, uid, client_id, pb.Version(version=0).SerializeToString())
        )
        if reply.code == Code.SUCCESS:
            found = pb.TurnResult.FromString(reply.payload)
            result = {
                "urls": list(found.url),
                "username": found.username,
                "credential": found.credential,
                "ttl": found.ttl,
            }
            body = {"code": LoginCode.SUCCESS, "message": "success", "result": result}
            return web.json_response(body, headers={"Cache-Control": "no-store"})
    return _refused(503, "the server cannot do it now, try again")


def _password(authorization: str) -> str | None:
    """Return what a CONNECT with this login token says; None for what is no token."""
    token = authorization.removeprefix(_BEARER)
    if token == authorization or len(token) > MAX_TOKEN:
        return None
    try:
        user_token, secret, _ = crypto.open_login_token(token)
        return crypto.connect_password(user_token, secret)
    except crypto.CryptoError:
        return None


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"code": status, "message": why, "result": None}, status=status)
