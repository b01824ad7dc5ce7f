"""Calls that connectors make for themselves: who a device is, that it has logged out, how far logs go."""

import orjson
import structlog

from fsharechat.errors import StoreError
from fsharechat.protocol import crypto
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal, UserStatus
from fsharechat.rpc import Call, Method, Reply
from fsharechat.rpc.payloads import Marks, Welcome
from fsharechat.settings import Settings
from fsharechat.store import cursors, heads, messages, recalls, sessions
from fsharechat.store.cursors import Log, Mark
from fsharechat.store.heads import Heads
from fsharechat.store.sessions import REVOKED, LoginSession, Seen
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.handlers import Handlers
from roles.group.sleepers import Sleepers
from roles.group.tokens import TokenSigner, is_of_original

log = structlog.get_logger(__name__)

WAKE_SECONDS = 3.0
"""How long a CONNECT waits for the messages of large groups, s. The device is told of later ones."""

HEADS_AT_ONCE = 100
"""How many users' heads one read looks up: it looks at each of their groups, which may be hundreds."""


async def authenticate(
    settings: Settings,
    store: Store,
    clock: ServerClock,
    sleepers: Sleepers,
    tokens: TokenSigner,
    call: Call,
) -> Reply:
    """Check the password of a CONNECT. The code of the reply is the sub-signal of the CONNECT_ACK."""
    try:
        found = await store.read(_newcomer, call.uid, call.client_id)
        if found is None:
            return Reply(SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST)
        session, status, (reached, known, asleep) = found
        if not _proves(tokens, call, session):
            return Reply(SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD)
        if status == UserStatus.BLOCKED:
            return Reply(SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED)
        if session.expired(settings.sessions.oldest(clock.now())):
            return Reply(SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST)
        if asleep:
            await sleepers.wake_within([call.uid], WAKE_SECONDS)
            reached, known, _ = await store.read(_positions, call.uid, call.client_id)
    except StoreError as error:
        log.warning("store failed a request", method="connect", error=str(error))
        return Reply(SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE)
    payload = pb.ConnectAckPayload(
        msg_head=reached.seq,
        friend_head=reached.friends,
        friend_rq_head=reached.requests,
        setting_head=reached.settings,
        server_time=clock.now(),
    )
    welcome = Welcome(
        reached,
        _marks(known, reached),
        session.issued_ms,
        payload.SerializeToString(),
    )
    return Reply(SubSignal.CONNECTION_ACCEPTED, welcome.encode())


def _marks(known: dict[int, Mark], reached: Heads) -> Marks:
    """Return the marks of a device. One without marks is older than marks, and counts as up to date."""
    unknown = Marks(reached.seq, 0, 0, reached.recalled, reached.seq)
    marks = [known[log].seq if log in known else unknown[log] for log in Log]
    marks.append(known[Log.INBOX].handed if Log.INBOX in known else unknown.handed)
    return Marks(*marks)


_Positions = tuple[Heads, dict[int, Mark], bool]


def _newcomer(
    dialect: Dialect, uid: str, client_id: str
) -> Unit[tuple[LoginSession, int, _Positions] | None]:
    """Return the session of a device, the status of its user, and the `_positions`.

    One read gives all of that, before the password is checked: a rush of connects waits for reads most of all.
    """
    found = yield from sessions.find(dialect, uid, client_id)
    if found is None:
        return None
    return (*found, (yield from _positions(dialect, uid, client_id)))


def _positions(dialect: Dialect, uid: str, client_id: str) -> Unit[_Positions]:
    """Return the heads of a user, the marks of a device, and whether the user is asleep in some group."""
    found, asleep = yield from heads.looked_at(dialect, [uid])
    known = yield from cursors.marks(dialect, uid, client_id)
    return found.get(uid, Heads()), known, bool(asleep)


def _proves(tokens: TokenSigner, call: Call, session: LoginSession) -> bool:
    try:
        token = crypto.open_connect_password(call.body.decode(), session.secret)
    except (crypto.CryptoError, UnicodeDecodeError):
        return False
    if session.imported:
        return session.issued_ms != REVOKED and is_of_original(token, call.uid)
    return tokens.issued_at(token, call.uid, call.client_id) == session.issued_ms


async def forget(store: Store, expulsion: Expulsion, call: Call) -> Reply:
    """Log a device out, unless it has logged in again since the login whose time (ms) is the body."""
    await store.write(sessions.forget, call.uid, call.client_id, int(call.body))
    expulsion.recheck(call.uid, call.client_id)
    return Reply(Code.SUCCESS)


async def all_heads(store: Store, sleepers: Sleepers, call: Call) -> Reply:
    uids = orjson.loads(call.body)
    found: dict[str, Heads] = {}
    asleep: list[str] = []
    for start in range(0, len(uids), HEADS_AT_ONCE):
        some, sleeping = await store.read(heads.looked_at, uids[start : start + HEADS_AT_ONCE])
        found |= some
        asleep += sleeping
    if asleep:
        # These users have a device: they were put to sleep in the moment in which it connected.
        await sleepers.wake_within(asleep, WAKE_SECONDS)
        for start in range(0, len(asleep), HEADS_AT_ONCE):
            found |= await store.read(heads.heads, asleep[start : start + HEADS_AT_ONCE])
    return Reply(Code.SUCCESS, orjson.dumps({uid: tuple(reached) for uid, reached in found.items()}))


async def gone(settings: Settings, store: Store, clock: ServerClock, call: Call) -> Reply:
    """Return which devices should have been kicked: the event for it may be lost, or their login has expired."""
    oldest = settings.sessions.oldest(clock.now())
    devices = [(uid, client_id) for uid, client_id in orjson.loads(call.body)]
    return Reply(Code.SUCCESS, orjson.dumps(await store.read(sessions.gone, devices, oldest)))


async def missed_recalls(store: Store, call: Call) -> Reply:
    found = await store.read_for(call.uid, recalls.missed, call.uid, orjson.loads(call.body))
    return Reply(Code.SUCCESS, orjson.dumps([tuple(recall) for recall in found]))


async def altered(store: Store, call: Call) -> Reply:
    found = await store.read_for(call.uid, recalls.altered, call.uid, orjson.loads(call.body))
    return Reply(Code.SUCCESS, orjson.dumps([tuple(one) for one in found]))


async def keep_marks(store: Store, call: Call) -> Reply:
    await store.write(cursors.keep, [Mark(*mark) for mark in orjson.loads(call.body)])
    return Reply(Code.SUCCESS)


async def keep_seen(store: Store, call: Call) -> Reply:
    await store.write(sessions.keep_seen, [Seen(*seen) for seen in orjson.loads(call.body)])
    return Reply(Code.SUCCESS)


async def newest_id(store: Store, call: Call) -> Reply:
    return Reply(Code.SUCCESS, orjson.dumps(await store.read(messages.newest)))


HANDLERS = Handlers(
    raw={
        Method.AUTHENTICATE: authenticate,
        Method.FORGET: forget,
        Method.HEADS: all_heads,
        Method.GONE: gone,
        Method.RECALLS: missed_recalls,
        Method.ALTERED: altered,
        Method.MARKS: keep_marks,
        Method.SEEN: keep_seen,
        Method.NEWEST_ID: newest_id,
    },
)
