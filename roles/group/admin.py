"""The operations of the back office: one method carries them all, and each is found by its name.

The api role has checked the key, and the shape of the request (roles/api/shapes.py). Sessions of named administrators
are checked here, and here each action is written into the audit log, in the unit of work that carries it out.
"""

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate

import orjson

from fsharechat.admin.rights import BY_SESSION, AdminRole, AskedBy
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store import accounts, audit
from fsharechat.store.accounts import USED_STEP_MS, SessionRules
from fsharechat.store.audit import AuditEntry, AuditFilter, Way
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, P, T, Unit
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers, HandlerServices

DAY_MS = 86_400_000
MAX_DETAILS = 4000
"""Characters of the details of one entry of the audit log."""

GOES_ON_MS = 3_600_000
"""How long the steps of one request may take, ms; then the next one has an entry of its own."""

OFFICE = "back office"
"""The user under whom searches of the back office run. A real uid has no space."""


class Denied(Exception):
    """An operation cannot be done. It has an HTTP status, and a text for the administrator."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class OfficeRequest(dict[str, Any]):
    """What is asked of an operation, and its entry of the audit log, if it changes something.

    `session` is the digest of the session that asks, empty with the key.
    """

    entry: AuditEntry | None = None
    keep_ms = 0
    session = b""
    role = AdminRole.ALL
    written = False
    """Whether the entry was written together with the action."""

    def about(self, target: str) -> None:
        """Name whom the action is about, as it is known now."""
        if self.entry is not None:
            self.entry = self.entry._replace(target=target[:255])

    def audited(
        self, unit: Callable[Concatenate[Dialect, P], Unit[T]]
    ) -> Callable[Concatenate[Dialect, P], Unit[T]]:
        """Return a unit that also writes the entry of this request, all or nothing."""
        entry = self.entry
        if entry is None:
            return unit
        self.written = True
        keep_ms = self.keep_ms

        def both(dialect: Dialect, /, *args: P.args, **kwargs: P.kwargs) -> Unit[T]:
            result = yield from unit(dialect, *args, **kwargs)
            yield from audit.add(dialect, entry, keep_ms)
            return result

        return both


Operation = Callable[..., Awaitable[object]]
"""Takes services, the call, and what is asked. It returns the `result` of the answer, or raises Denied."""

Operations = Mapping[str, Operation]
"""Operations by name."""

_WAYS = {"key": Way.KEY, "command": Way.COMMAND, "account": Way.ACCOUNT}


def session_rules(settings: Settings) -> SessionRules:
    admin = settings.admin
    return SessionRules(int(admin.idle_seconds * 1000), int(admin.session_seconds * 1000))


def handlers(tables: Iterable[Operations]) -> Handlers:
    """Return the handlers for the operations of all tables."""
    operations = {name: function for table in tables for name, function in table.items()}

    async def administer(services: HandlerServices, call: Call) -> Reply:
        body = orjson.loads(call.body)
        request = OfficeRequest(body["asked"] if body["op"] == BY_SESSION else body)
        function = operations.get(request["op"])
        if function is None:
            return Reply(Code.NOT_IMPLEMENTED)
        store = services.of(Store)  # type: ignore[type-abstract]
        try:
            await _enter(services, store, request)
            result = await services.bind(function)(call, request)
        except Denied as denied:
            if request.entry is not None:
                entry = request.entry._replace(status=denied.status)
                await store.write(audit.add, entry, request.keep_ms)
            return _answer(denied.status, str(denied), None)
        if request.entry is not None and not request.written:
            await store.write(audit.add, request.entry, request.keep_ms)
        return _answer(200, "success", result)

    return Handlers(raw={Method.ADMIN: administer})


def page(
    name: str, found: Sequence[T], limit: int, show: Callable[[T], object], key: Callable[[T], str]
) -> dict[str, object]:
    """Return a page of a list: up to `limit` rows of `found` as `show` writes them, and the `next`.

    `found` has one row more where the list goes on. Then `next` is the `key` of the last one shown.
    """
    shown = found[:limit]
    return {name: [show(one) for one in shown], "next": key(shown[-1]) if len(found) > limit else ""}


def cursor_of(text: str) -> list[Any]:
    """Return what an `after` of `cursor_for` stands for, nothing for the first page. Raises Denied."""
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text)) if text else []
    except ValueError:
        raise Denied(400, "after: must be the `next` of the page before") from None
    if not isinstance(found, list) or len(found) not in (0, 2):
        raise Denied(400, "after: must be the `next` of the page before")
    return found


def cursor_for(value: object, key: str) -> str:
    """Return the `next` of a page whose last row has that value in the column of the order, and that key."""
    return base64.urlsafe_b64encode(orjson.dumps([value, key])).decode()


async def _enter(services: HandlerServices, store: Store, request: OfficeRequest) -> None:
    """Find out who asks, and begin the entry of the audit log. Raises Denied.

    A request without `by` is the api role's own, or comes from one of an older version, which has checked the key.
    """
    by: AskedBy | None = request.pop("by", None)
    if by is None:
        return
    clock, settings = services.of(ServerClock), services.of(Settings)
    actor: str = by["way"]
    missing = ""
    if by["way"] == "account":
        request.session = bytes.fromhex(by["session"])
        now = clock.now()
        found = await store.read(accounts.session, request.session, now, session_rules(settings))
        if found is None:
            raise Denied(401, "the session has ended: log in")
        owner, session = found
        actor, request.role = owner.name, AdminRole(owner.role)
        if now - session.used_ms > USED_STEP_MS:
            await store.write(accounts.used, request.session, now)
        if request.role < by["needs"]:
            missing = f"this needs the role {AdminRole(by['needs']).name.lower()}"
    request["actor"] = actor
    if by["changes"] and not (by.get("goes_on") and await _has_entry(store, clock.now(), actor, request, by)):
        details = orjson.dumps(by["details"]).decode()
        request.keep_ms = settings.admin.audit_days * DAY_MS
        request.entry = AuditEntry(
            id=clock.next_id(),
            request=by["request"],
            at_ms=clock.now(),
            way=_WAYS[by["way"]],
            actor=actor,
            op=request["op"],
            target=by["target"][:255],
            details=details if len(details) <= MAX_DETAILS else "{}",
            address=by["address"],
            status=200,
        )
    if missing:
        raise Denied(403, missing)


async def _has_entry(store: Store, now: int, actor: str, request: OfficeRequest, by: AskedBy) -> bool:
    """Return whether the request that this one goes on with is in the audit log, whatever the caller says."""
    begun = AuditFilter(actor, request["op"], by["target"][:255], now - GOES_ON_MS)
    return bool(await store.read(audit.page, begun, 0, 1))


def _answer(status: int, message: str, result: object) -> Reply:
    return Reply(Code.SUCCESS, orjson.dumps({"code": status, "message": message, "result": result}))
