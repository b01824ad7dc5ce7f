"""Logins by OpenID Connect. The api role asks the provider. This role keeps the logins and decides who comes in."""

from typing import Any

import orjson
import structlog

from fsharechat.errors import StoreError
from fsharechat.oidc import OidcAccount, Phase
from fsharechat.protocol.signals import LoginCode
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store import oidc
from fsharechat.store.oidc import OidcGuess
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store
from fsharechat.tracing import trace_of
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.login import accepted, answer, invitation_of, refused, rules
from roles.group.tokens import NewSecrets, TokenSigner

log = structlog.get_logger(__name__)


class OidcBook:
    """Carries out the operations of Method.OIDC. `answer` makes each reply. Secrets come as digests, in hex."""

    def __init__(self, settings: Settings, store: Store, clock: ServerClock, tokens: TokenSigner) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._tokens = tokens
        self._operations = {
            "begin": self._begin,
            "take": self._take,
            "know": self._know,
            "poll": self._poll,
            "login": self._log_in,
        }

    async def serve(self, call: Call) -> Reply:
        request = orjson.loads(call.body)
        try:
            return await self._operations[request["op"]](call, request, bytes.fromhex(request["digest"]))
        except StoreError as error:
            log.log(
                error.log_level,
                "store failed a request",
                method=request["op"],
                error=str(error),
                trace=trace_of(call),
            )
            return answer(LoginCode.SERVER_ERROR)

    async def _begin(self, call: Call, request: dict[str, Any], digest: bytes) -> Reply:
        """{"phase", "seconds", "address"} -> true; TOO_OFTEN if there is no room."""
        now, address = self._clock.now(), request["address"]
        expires, limit = now + int(request["seconds"] * 1000), rules(self._settings).address_codes
        phase = Phase(request["phase"])
        fits, wait_ms = await self._store.write(
            oidc.begin, digest, phase, expires, now, address, limit, call.retried
        )
        return answer(LoginCode.SUCCESS if fits else LoginCode.TOO_OFTEN, fits, wait_ms)

    async def _take(self, _: Call, request: dict[str, Any], digest: bytes) -> Reply:
        """{"taker"} -> true; CODE_EXPIRED if there is no such login any more."""
        taken = await self._store.write(oidc.take, digest, request["taker"], self._clock.now())
        return answer(LoginCode.SUCCESS if taken else LoginCode.CODE_EXPIRED, taken)

    async def _know(self, _: Call, request: dict[str, Any], digest: bytes) -> Reply:
        """{"account", "seconds"} -> true."""
        expires = self._clock.now() + int(request["seconds"] * 1000)
        await self._store.write(oidc.know, digest, OidcAccount(*request["account"]), expires)
        return answer(LoginCode.SUCCESS, True)

    async def _poll(self, _: Call, request: dict[str, Any], digest: bytes) -> Reply:
        """{"seconds"} -> the Polled."""
        interval = int(request["seconds"] * 1000)
        return answer(
            LoginCode.SUCCESS, await self._store.write(oidc.poll, digest, interval, self._clock.now())
        )

    async def _log_in(self, call: Call, request: dict[str, Any], digest: bytes) -> Reply:
        """{"clientId", "agent", "deviceName", "address", "invitation", "account"} -> as Method.LOGIN.

        `account` is null if the store has it already.
        """
        settings, now, client_id = self._settings, self._clock.now(), request["clientId"]
        account = OidcAccount(*request["account"]) if request["account"] else None
        guess = OidcGuess(
            digest,
            client_id,
            account,
            settings.oidc.link == "verified",
            settings.registration.takes,
            invitation_of(settings, self._tokens, request),
            call.retried,
            request["address"],
        )
        agent, name = request["agent"], request["deviceName"]
        fresh = LoginSession(*NewSecrets.make(), issued_ms=now, agent=agent, name=name)
        found, taken = await self._store.write(oidc.log_in, guess, fresh, now, rules(settings).address_logins)
        if found.session is None:
            return refused(call, client_id, found, taken=taken)
        log.info(
            "login",
            uid=found.uid,
            client_id=client_id,
            created=found.created,
            status=found.status,
            oidc=True,
            trace=trace_of(call),
        )
        return accepted(self._tokens, client_id, found, found.session, now)


async def serve(
    settings: Settings, store: Store, clock: ServerClock, tokens: TokenSigner, call: Call
) -> Reply:
    return await OidcBook(settings, store, clock, tokens).serve(call)


HANDLERS = Handlers(raw={Method.OIDC: serve})
