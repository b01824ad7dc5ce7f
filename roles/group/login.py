"""Login codes, login, and the CONNECT of a device (protocol.md sections 3 and 4)."""

import hmac
import re
import secrets

import orjson
import structlog

from fsharechat.codes import CodeError
from fsharechat.errors import StoreError
from fsharechat.protocol import crypto
from fsharechat.protocol.signals import Code, LoginCode
from fsharechat.rpc import Call, Method, Reply
from fsharechat.store import sessions, users
from fsharechat.store.sessions import CodeRules, Session
from roles.group.handlers import handles_raw
from roles.group.service import Group
from roles.group.tokens import NewSecrets

log = structlog.get_logger(__name__)

_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_EMAIL = re.compile(r"[^@\s]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,}")

_TEXTS = {
    LoginCode.SUCCESS: "success",
    LoginCode.INVALID_NUMBER: "not a mobile number or e-mail address",
    LoginCode.TOO_OFTEN: "asked too often, try again later",
    LoginCode.SERVER_ERROR: "server error",
    LoginCode.CODE_EXPIRED: "the code has expired, ask for a new one",
    LoginCode.WRONG_CODE: "wrong code",
    LoginCode.MISCONFIGURED: "the server cannot send codes",
}


def normal_number(text: object) -> str | None:
    """Return a mobile number or e-mail address as it is kept, or None when the text is neither."""
    if not isinstance(text, str) or len(text) > 254:
        return None
    number = text.strip().lower()
    return number if _MOBILE.fullmatch(number) or _EMAIL.fullmatch(number) else None


def rules(group: Group) -> CodeRules:
    codes = group.settings.codes
    return CodeRules(
        lifetime_ms=int(codes.lifetime_seconds * 1000),
        resend_ms=int(codes.resend_seconds * 1000),
        per_day=codes.per_day,
        wrong_guesses=codes.wrong_guesses,
        lock_ms=int(codes.lock_seconds * 1000),
    )


def answer(code: LoginCode, result: object = None) -> Reply:
    """Return the JSON of the HTTP answer."""
    return Reply(Code.SUCCESS, orjson.dumps({"code": code, "message": _TEXTS[code], "result": result}))


@handles_raw(Method.SEND_CODE)
async def send_code(group: Group, call: Call) -> Reply:
    number = normal_number(orjson.loads(call.body)["mobile"])
    if number is None:
        return answer(LoginCode.INVALID_NUMBER)
    code = f"{secrets.randbelow(1_000_000):06}"
    digest = group.tokens.digest("login code", f"{number} {code}")
    try:
        allowed = await group.store.write(sessions.new_code, number, digest, group.now(), rules(group))
        if allowed is LoginCode.SUCCESS:
            await group.codes.send(number, code)
    except StoreError as error:
        log.warning("store failed a request", method="send_code", error=str(error))
        return answer(LoginCode.SERVER_ERROR)
    except CodeError as error:
        log.error("login code not sent", reason=str(error))
        return answer(LoginCode.SERVER_ERROR)
    return answer(allowed)


@handles_raw(Method.LOGIN)
async def login(group: Group, call: Call) -> Reply:
    request = orjson.loads(call.body)
    number, code, client_id = normal_number(request["mobile"]), request["code"], request["clientId"]
    if number is None:
        return answer(LoginCode.INVALID_NUMBER)
    now = group.now()
    try:
        checked = await group.store.write(
            sessions.use_code,
            number,
            group.tokens.digest("login code", f"{number} {code}"),
            is_super_code(group, code),
            now,
            rules(group),
        )
        if checked is not LoginCode.SUCCESS:
            return answer(checked)
        uid, status, created = await group.store.write(users.get_or_create, number, now)
        fresh = Session(*NewSecrets.make(), issued_ms=now)
        session = await group.store.write(sessions.renew, uid, client_id, fresh)
    except StoreError as error:
        log.warning("store failed a request", method="login", error=str(error))
        return answer(LoginCode.SERVER_ERROR)
    log.info("login", uid=uid, client_id=client_id, created=created, status=status)
    token = crypto.login_token(group.tokens.issue(uid, client_id, now), session.secret, session.db_secret)
    return answer(LoginCode.SUCCESS, {"userId": uid, "token": token, "register": created})


def is_super_code(group: Group, code: str) -> bool | None:
    """Return whether a guess is the super code; None where none is set."""
    super_code = group.settings.codes.super_code
    return hmac.compare_digest(code.encode(), super_code.encode()) if super_code else None
