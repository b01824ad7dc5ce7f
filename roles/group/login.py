"""Login codes and login (contract.md section 3)."""

import hmac
import secrets
from collections.abc import Mapping

import orjson
import structlog

from fsharechat.codes import CodeError, CodeUnconfirmed
from fsharechat.codes.delivery import Delivery
from fsharechat.errors import StoreError
from fsharechat.login_numbers import normal_number
from fsharechat.protocol import crypto
from fsharechat.protocol.signals import Code, LoginCode
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store import sessions
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.sessions import CodeRules, Guess, LoginResult, LoginSession
from fsharechat.store.store import Store
from fsharechat.tracing import trace_of
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.tokens import NewSecrets, TokenSigner

log = structlog.get_logger(__name__)


def rules(settings: Settings) -> CodeRules:
    codes, api = settings.codes, settings.api
    span_ms = int(api.address_seconds * 1000)
    return CodeRules(
        lifetime_ms=int(codes.lifetime_seconds * 1000),
        resend_ms=int(codes.resend_seconds * 1000),
        per_day=codes.per_day,
        wrong_guesses=codes.wrong_guesses,
        address_codes=AddressLimit(api.codes_per_address, span_ms),
        address_logins=AddressLimit(api.logins_per_address, span_ms),
        address_guesses=AddressLimit(api.guesses_per_address, span_ms),
    )


def answer(
    code: LoginCode, result: object = None, wait_ms: int = 0, uninvited: bool = False, no_codes: bool = False
) -> Reply:
    """Return the answer for the api role.

    `wait_ms`: how long the asking address must wait, 0 if it need not. `uninvited`: the number is valid, but may not
    register. `no_codes`: no codes are sent, to no number (`[oidc] codes`).
    """
    wait = {"wait_ms": wait_ms} if wait_ms else {}
    why = {"uninvited": True} if uninvited else {"noCodes": True} if no_codes else {}
    return Reply(Code.SUCCESS, orjson.dumps({"code": code, "result": result, **wait, **why}))


async def send_code(
    settings: Settings, store: Store, clock: ServerClock, codes: Delivery, tokens: TokenSigner, call: Call
) -> Reply:
    request = orjson.loads(call.body)
    if settings.oidc.alone:
        return answer(LoginCode.MISCONFIGURED, no_codes=True)
    number = normal_number(request["mobile"])
    if number is None:
        return answer(LoginCode.INVALID_NUMBER)
    if not codes.reaches(number):
        return answer(LoginCode.MISCONFIGURED)
    code = f"{secrets.randbelow(1_000_000):06}"
    digest = digest_of(tokens, number, code)
    try:
        made = await store.write(
            sessions.new_code,
            number,
            digest,
            clock.now(),
            rules(settings),
            call.retried,
            request.get("address", ""),
            settings.registration.takes(number),
            invitation_of(settings, tokens, request),
        )
        if made.result is not LoginCode.SUCCESS:
            uninvited = made.result is LoginCode.INVALID_NUMBER
            return answer(made.result, wait_ms=made.wait_ms, uninvited=uninvited)
        try:
            await codes.send(number, code)
        except CodeError as error:
            lost = not isinstance(error, CodeUnconfirmed)
            log.error("login code not sent", reason=str(error), unconfirmed=not lost, trace=trace_of(call))
            await store.write(sessions.take_back, number, digest, made.before, lost)
            return answer(LoginCode.SERVER_ERROR)
    except StoreError as error:
        log.log(
            error.log_level,
            "store failed a request",
            method="send_code",
            error=str(error),
            trace=trace_of(call),
        )
        return answer(LoginCode.SERVER_ERROR)
    return answer(LoginCode.SUCCESS, True)


async def login(
    settings: Settings, store: Store, clock: ServerClock, tokens: TokenSigner, call: Call
) -> Reply:
    request = orjson.loads(call.body)
    number, code, client_id = normal_number(request["mobile"]), request["code"], request["clientId"]
    if number is None:
        return answer(LoginCode.INVALID_NUMBER)
    now = clock.now()
    digest = digest_of(tokens, number, code)
    guess = Guess(
        number,
        digest,
        is_super_code(settings, code),
        client_id,
        call.retried,
        request.get("address", ""),
        settings.registration.takes(number),
        invitation_of(settings, tokens, request),
    )
    agent, name = request.get("agent", ""), request.get("deviceName", "")
    fresh = LoginSession(*NewSecrets.make(), issued_ms=now, agent=agent, name=name)
    try:
        done = await store.write(sessions.log_in, guess, fresh, now, rules(settings))
    except StoreError as error:
        log.log(
            error.log_level, "store failed a request", method="login", error=str(error), trace=trace_of(call)
        )
        return answer(LoginCode.SERVER_ERROR)
    if done.session is None:
        return refused(call, client_id, done)
    log.info(
        "login",
        uid=done.uid,
        client_id=client_id,
        created=done.created,
        status=done.status,
        trace=trace_of(call),
    )
    return accepted(tokens, client_id, done, done.session, now)


def refused(call: Call, client_id: str, done: LoginResult, *, taken: bool = False) -> Reply:
    """Return the answer to a login that gave no session. `taken`: its number is another user's."""
    if done.uid:
        log.info("login of a blocked user refused", uid=done.uid, client_id=client_id, trace=trace_of(call))
    uninvited = done.result is LoginCode.INVALID_NUMBER and not taken
    return answer(done.result, {"taken": True} if taken else None, done.wait_ms, uninvited)


def accepted(
    tokens: TokenSigner, client_id: str, done: LoginResult, session: LoginSession, now: int
) -> Reply:
    """Return the answer to a login that gave a session at `now` (ms): with the token of the device."""
    user_token = tokens.issue(done.uid, client_id, now)
    token = crypto.login_token(user_token, session.secret, session.db_secret)
    return answer(LoginCode.SUCCESS, {"userId": done.uid, "token": token, "register": done.created})


def digest_of(tokens: TokenSigner, number: str, code: str) -> bytes:
    return tokens.digest("login code", f"{number} {code}")


def invitation_digest(tokens: TokenSigner, code: str) -> bytes:
    return tokens.digest("invitation", code.strip().lower())


def invitation_of(settings: Settings, tokens: TokenSigner, request: Mapping[str, str]) -> bytes | None:
    """Return the invitation of a request, as a Guess has it."""
    if settings.registration.mode != "invited":
        return None
    code = request.get("invitation", "").strip()
    return invitation_digest(tokens, code) if code else b""


def is_super_code(settings: Settings, code: str) -> bool | None:
    """Return whether a guess is the super code, None if none is set."""
    super_code = settings.codes.super_code
    return hmac.compare_digest(code.encode(), super_code.encode()) if super_code else None


HANDLERS = Handlers(
    raw={
        Method.SEND_CODE: send_code,
        Method.LOGIN: login,
    },
)
