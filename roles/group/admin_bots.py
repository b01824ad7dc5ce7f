"""Operations of the back office on bots: users that log in by a token."""

import structlog

from fsharechat.protocol import crypto
from fsharechat.rpc import Call
from fsharechat.store import bots
from fsharechat.store.bots import CLIENT, Bot
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import Denied, OfficeRequest, Operations, page
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.tokens import NewSecrets, TokenSigner

log = structlog.get_logger(__name__)


def _shown(bot: Bot) -> dict[str, object]:
    return {"name": bot.name, "uid": bot.uid, "createdAt": bot.created_ms, "active": bot.active}


async def create(
    store: Store, clock: ServerClock, tokens: TokenSigner, call: Call, request: OfficeRequest
) -> object:
    """Make a bot, or a new token for one whose token was taken back. Only this answer has the token."""
    name, now = request["name"], clock.now()
    fresh = LoginSession(*NewSecrets.make(), issued_ms=now, name=name, bot=True)
    uid, session = await store.write(request.audited(_create), name, fresh, now, call.retried)
    secret = crypto.login_token(tokens.issue(uid, CLIENT, now), session.secret, session.db_secret)
    log.info("a bot has a token", name=name, uid=uid)
    return {**_shown(Bot(name, uid, now, True)), "token": crypto.bot_token(uid, CLIENT, secret)}


def _create(
    dialect: Dialect, name: str, fresh: LoginSession, now: int, retried: bool
) -> Unit[tuple[str, LoginSession]]:
    made = yield from bots.create(dialect, name, fresh, now, retried)
    if made.session is None:
        raise Denied(409, "the bot has a token already; revoke it to get another one")
    return made.uid, made.session


async def list_bots(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    found = await store.read(bots.page, request["after"], limit + 1)
    return page("bots", found, limit, _shown, lambda bot: bot.name)


async def revoke(store: Store, expulsion: Expulsion, _: Call, request: OfficeRequest) -> object:
    """Take the token of a bot back, and end its connection."""
    bot = await store.write(request.audited(_revoke), request["bot"])
    expulsion.watch(bot.uid)
    expulsion.kick(bot.uid, [CLIENT])
    log.info("the token of a bot was taken back", name=bot.name, uid=bot.uid)
    return _shown(bot._replace(active=False))


def _revoke(dialect: Dialect, name: str) -> Unit[Bot]:
    bot = yield from bots.revoke(dialect, name)
    if bot is None:
        raise Denied(404, "there is no such bot")
    return bot


OPERATIONS: Operations = {
    "bots.create": create,
    "bots.list": list_bots,
    "bots.revoke": revoke,
}
