"""Operations of the back office on named administrators, their sessions, and the audit log.

Passwords are hashed by the api role. Here they are texts of argon2 that are kept and compared.
"""

from typing import Any

import orjson

from fsharechat.admin.rights import AdminRole
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import accounts, audit
from fsharechat.store.accounts import MAX_ADMINISTRATORS, Administrator, AdminSession, SignInLimits
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.audit import AuditEntry, AuditFilter, Way
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import DAY_MS, OFFICE, Denied, OfficeRequest, Operations, page, session_rules
from roles.group.clock import ServerClock

LIMITS = SignInLimits(AddressLimit(30, 600_000), AddressLimit(10, 300_000))
"""Tries to log in: 30 of an address in ten minutes, 10 for a name in five, right ones too."""

LOGIN = "accounts.login"
"""The name of a login in the audit log."""


def _shown(one: Administrator) -> dict[str, object]:
    return {"name": one.name, "role": AdminRole(one.role).name.lower(), "madeAt": one.made_ms}


async def list_accounts(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    found = await store.read(accounts.administrators, request["after"], limit + 1)
    return page("accounts", found, limit, _shown, lambda one: one.name)


async def add(store: Store, clock: ServerClock, call: Call, request: OfficeRequest) -> object:
    role = AdminRole[request["role"].upper()]
    new = Administrator(request["name"], request["password"], role, clock.now())
    request.about(new.name)
    return _shown(await store.write(request.audited(_add), new, call.retried))


def _add(dialect: Dialect, new: Administrator, retried: bool) -> Unit[Administrator]:
    if (yield from accounts.count(dialect)) >= MAX_ADMINISTRATORS:
        raise Denied(409, f"there are {MAX_ADMINISTRATORS} administrators already")
    found = yield from accounts.add(dialect, new)
    if found != new and not (retried and found.password == new.password):
        raise Denied(409, "there is an administrator of that name")
    return found


def _known(dialect: Dialect, name: str) -> Unit[Administrator]:
    found = yield from accounts.administrator(dialect, name)
    if found is None:
        raise Denied(404, "there is no such administrator")
    return found


async def set_role(store: Store, _: Call, request: OfficeRequest) -> object:
    role = AdminRole[request["role"].upper()]
    if request["account"] == request["actor"]:
        raise Denied(409, "you cannot change your own role: let another administrator do it")
    return _shown(await store.write(request.audited(_set_role), request["account"], role))


def _set_role(dialect: Dialect, name: str, role: AdminRole) -> Unit[Administrator]:
    found = yield from _known(dialect, name)
    yield from accounts.set_role(dialect, name, role)
    return found._replace(role=role)


async def set_password(store: Store, _: Call, request: OfficeRequest) -> object:
    return _shown(
        await store.write(request.audited(_set_password), request["account"], request["password"], b"")
    )


async def set_own_password(store: Store, _: Call, request: OfficeRequest) -> object:
    """Change the password of who asks. The other sessions end."""
    unit = request.audited(_set_password)
    return _shown(await store.write(unit, request["actor"], request["password"], request.session))


def _set_password(dialect: Dialect, name: str, password: str, keep: bytes) -> Unit[Administrator]:
    found = yield from _known(dialect, name)
    yield from accounts.set_password(dialect, name, password, keep)
    return found


async def remove(store: Store, call: Call, request: OfficeRequest) -> object:
    if request["account"] == request["actor"]:
        raise Denied(409, "you cannot remove your own account: let another administrator do it")
    return _shown(await store.write(request.audited(_remove), request["account"]))


def _remove(dialect: Dialect, name: str) -> Unit[Administrator]:
    found = yield from _known(dialect, name)
    yield from accounts.remove(dialect, name)
    return found


# Logging in


async def try_sign_in(store: Store, clock: ServerClock, _: Call, request: OfficeRequest) -> object:
    """Count a try of a name. Return how long to wait, and the text that the password must match, "" for nobody's."""
    wait_ms, found = await store.write(
        accounts.try_sign_in, request["name"], request["address"], clock.now(), LIMITS
    )
    return {"waitMs": wait_ms, "password": found.password if found else ""}


async def begin_session(
    settings: Settings, store: Store, clock: ServerClock, _: Call, request: OfficeRequest
) -> object:
    """Keep the session of an administrator whose password was right, and write it into the audit log."""
    now = clock.now()
    session = AdminSession(
        bytes.fromhex(request["digest"]), request["name"], now, now, request["remote"][:64]
    )
    entry = _login_entry(clock, request, 200)
    began = await store.write(_begin, session, request["password"], settings, entry)
    if not began:
        raise Denied(401, "the name or the password is wrong")
    return {"seconds": int(settings.admin.session_seconds)}


def _begin(
    dialect: Dialect, session: AdminSession, password: str, settings: Settings, entry: AuditEntry
) -> Unit[bool]:
    if not (yield from accounts.begin(dialect, session, password, session_rules(settings))):
        return False
    yield from audit.add(dialect, entry, settings.admin.audit_days * DAY_MS)
    return True


async def refuse_sign_in(
    settings: Settings, store: Store, clock: ServerClock, _: Call, request: OfficeRequest
) -> object:
    """Write a wrong password into the audit log. Names that nobody has leave no entry."""
    await store.write(_refuse, _login_entry(clock, request, 401), settings.admin.audit_days * DAY_MS)
    return None


def _refuse(dialect: Dialect, entry: AuditEntry, keep_ms: int) -> Unit[None]:
    if (yield from accounts.administrator(dialect, entry.actor)) is not None:
        yield from audit.add(dialect, entry, keep_ms)


def _login_entry(clock: ServerClock, request: OfficeRequest, status: int) -> AuditEntry:
    return AuditEntry(
        clock.next_id(),
        request["request"],
        clock.now(),
        Way.ACCOUNT,
        request["name"],
        LOGIN,
        request["name"],
        "{}",
        request["remote"][:64],
        status,
    )


async def current(settings: Settings, _: Call, request: OfficeRequest) -> object:
    """Say who asks: the name is empty with the key."""
    return {
        "name": request["actor"] if request.session else "",
        "role": request.role.name.lower(),
        "idleSeconds": int(settings.admin.idle_seconds),
    }


async def end_session(store: Store, _: Call, request: OfficeRequest) -> object:
    await store.write(request.audited(accounts.end), request.session)
    return None


# The audit log


async def list_audit(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    chosen = AuditFilter(
        request["who"], request["what"], request["target"], request["since"], request["until"]
    )
    newest_first = request["order"] == "desc"
    before = int(request["after"] or 0)
    found = await store.search_for(OFFICE, audit.page, chosen, before, limit + 1, newest_first)
    return page("entries", found, limit, _entry, lambda one: str(one.id))


def _entry(one: AuditEntry) -> dict[str, Any]:
    return {
        "id": str(one.id),
        "at": one.at_ms,
        "way": Way(one.way).name.lower(),
        "actor": one.actor,
        "op": one.op,
        "target": one.target,
        "details": orjson.loads(one.details),
        "address": one.address,
        "status": one.status,
    }


OPERATIONS: Operations = {
    "accounts.list": list_accounts,
    "accounts.add": add,
    "accounts.role": set_role,
    "accounts.password": set_password,
    "accounts.own_password": set_own_password,
    "accounts.remove": remove,
    "accounts.try": try_sign_in,
    "accounts.begin": begin_session,
    "accounts.refuse": refuse_sign_in,
    "accounts.current": current,
    "accounts.logout": end_session,
    "audit.list": list_audit,
}
