"""Operations of the back office on users: their accounts, their rights, and their connections."""

import secrets

from fsharechat.login_numbers import normal_mobile, normal_number
from fsharechat.protocol.signals import UserStatus, UserType
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import admin, oidc, sessions, users
from fsharechat.store.admin import Account, Order
from fsharechat.store.oidc import BoundAccount
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import OFFICE, Denied, OfficeRequest, Operations, cursor_for, cursor_of, page
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.login import digest_of
from roles.group.presence import PresenceTable
from roles.group.robot_list import RobotList
from roles.group.standing import Standing
from roles.group.tokens import TokenSigner

MAX_DEVICES = 1000
"""How many devices of one user are listed."""


async def account_of(store: Store, request: OfficeRequest) -> Account:
    """Return the user whom a request names by uid or number. Raises Denied."""
    key: str = request["user"]
    found = await store.read(admin.account, normal_number(key) or key)
    if found is None:
        raise Denied(404, "there is no such user")
    request.about(found.uid)
    return found


def _shown(account: Account) -> dict[str, object]:
    return {
        "uid": account.uid,
        "number": account.number,
        "displayName": account.display_name,
        "status": UserStatus(account.status).name.lower(),
        "updateDt": account.update_dt,
    }


async def create(store: Store, clock: ServerClock, call: Call, request: OfficeRequest) -> object:
    number = normal_number(request["number"])
    if number is None:
        raise Denied(400, "number: must be a mobile number or an e-mail address")
    name: str = request["displayName"]
    request.about(number)
    account, created = await store.write(request.audited(admin.create_user), number, name, clock.now())
    if not created and not (call.retried and account.display_name == (name or users.default_name(number))):
        raise Denied(409, f"there is a user with that number: {account.uid}")
    return _shown(account)


async def get(store: Store, _: Call, request: OfficeRequest) -> object:
    account = await account_of(store, request)
    rows = await store.read(users.profiles, [account.uid])
    profile = dict(zip(users.PROFILE, rows[account.uid], strict=True)) if account.uid in rows else {}
    more = ("portrait", "gender", "mobile", "email", "address", "company", "social", "extra")
    robot = profile.get("type") == UserType.ROBOT
    return {**_shown(account), **{name: profile.get(name) for name in more}, "robot": robot}


_ORDERS = {"uid": "uid", "number": "number", "displayName": "display_name", "updateDt": "update_dt"}


async def list_users(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    wanted: str = request["status"]
    search = normal_mobile(request["search"]) or request["search"]
    status = UserStatus[wanted.upper()] if wanted else None
    column = _ORDERS[request.get("sort", "uid")]
    order = Order(column, request.get("order") == "desc")
    after = cursor_of(request["after"])
    found = await store.search_for(OFFICE, admin.accounts, search, status, order, after, limit + 1)
    return page("users", found, limit, _shown, lambda last: cursor_for(getattr(last, column), last.uid))


async def set_status(
    store: Store, standing: Standing, expulsion: Expulsion, _: Call, request: OfficeRequest
) -> object:
    """Set the status of a user: normal, muted (may not send) or blocked (may not connect), at once and everywhere."""
    account = await account_of(store, request)
    status = UserStatus[request["status"].upper()]
    await store.write(request.audited(admin.set_status), account.uid, status)
    standing.changed([account.uid])
    if status is UserStatus.BLOCKED:
        expulsion.watch(account.uid)
        expulsion.kick(account.uid)
    return _shown(account._replace(status=status))


async def set_number(store: Store, clock: ServerClock, call: Call, request: OfficeRequest) -> object:
    """Give a user another number to log in with."""
    account = await account_of(store, request)
    number = normal_number(request["number"])
    if number is None:
        raise Denied(400, "number: must be a mobile number or an e-mail address")

    def change(dialect: Dialect) -> Unit[None]:
        other = yield from admin.set_number(dialect, account.uid, number, clock.now())
        if other is not None:
            raise Denied(409, f"there is a user with that number: {other.uid}")

    await store.write(request.audited(change))
    found = await store.read(admin.account, account.uid)
    return _shown(found or account)


async def make_code(
    settings: Settings, store: Store, clock: ServerClock, tokens: TokenSigner, _: Call, request: OfficeRequest
) -> object:
    """Make a login code for a user, which the administrator tells the user: a login without SMS."""
    account = await account_of(store, request)
    if normal_number(account.number) is None:
        raise Denied(409, "nobody can log in as this user")
    code = f"{secrets.randbelow(1_000_000):06}"
    now = clock.now()
    unit = request.audited(sessions.give_code)
    await store.write(unit, account.number, digest_of(tokens, account.number, code), now)
    return {
        "uid": account.uid,
        "number": account.number,
        "code": code,
        "expiresAt": now + int(settings.codes.lifetime_seconds * 1000),
    }


async def count_sessions(presence: PresenceTable, _: Call, __: OfficeRequest) -> object:
    """Return how many devices are online on each connector, as this process knows them."""
    nodes = [{"node": node, "devices": devices} for node, devices in presence.per_node.items()]
    return {"devices": len(presence), "users": presence.users, "nodes": nodes}


async def list_sessions(store: Store, presence: PresenceTable, _: Call, request: OfficeRequest) -> object:
    """List the devices of a user. If there are too many: those online first, then those that logged in last."""
    account = await account_of(store, request)
    logged_in = await store.read(admin.logged_in, account.uid)
    online = presence.devices(account.uid)
    known = sorted({*logged_in, *online}, key=lambda id: (id not in online, -logged_in.get(id, 0), id))
    return {
        "uid": account.uid,
        "sessions": [
            {
                "clientId": client_id,
                "loggedInAt": logged_in.get(client_id),
                "online": client_id in online,
                "node": online[client_id][0] if client_id in online else None,
                "since": online[client_id][1] if client_id in online else None,
            }
            for client_id in sorted(known[:MAX_DEVICES])
        ],
        "more": max(0, len(known) - MAX_DEVICES),
    }


async def end_sessions(store: Store, expulsion: Expulsion, call: Call, request: OfficeRequest) -> object:
    """End the connection of one device of a user, or of all. With `logout` they must log in again."""
    account = await account_of(store, request)
    only = [request["clientId"]] if "clientId" in request else None
    logged_out: list[str] = []
    if request["logout"]:
        logged_out = await store.write(request.audited(admin.log_out), account.uid, only)
        expulsion.watch(account.uid)
    kicked = expulsion.kick(account.uid, only)
    if only and not kicked and not logged_out and not call.retried:
        known = await store.read(admin.logged_in, account.uid)
        if only[0] not in known:
            raise Denied(404, "the user has no such device")
    return {"uid": account.uid, "disconnected": kicked, "loggedOut": logged_out}


def _shown_account(one: BoundAccount) -> dict[str, object]:
    return {
        "id": one.account.hex(),
        "issuer": one.issuer,
        "subject": one.subject,
        "boundAt": one.bound_ms,
    }


async def list_accounts(store: Store, _: Call, request: OfficeRequest) -> object:
    """List the accounts of providers that lead to a user."""
    account = await account_of(store, request)
    found = await store.read(oidc.bound, account.uid)
    return {"uid": account.uid, "accounts": list(map(_shown_account, found))}


async def unbind(store: Store, call: Call, request: OfficeRequest) -> object:
    """Take an account of a provider from a user. The devices stay logged in."""
    account = await account_of(store, request)
    found = [one for one in await store.read(oidc.bound, account.uid) if one.account.hex() == request["id"]]
    if not found and not call.retried:
        raise Denied(404, "the user has no such account")
    for one in found:
        await store.write(request.audited(oidc.unbind), account.uid, one.account)
    return {"uid": account.uid, "accounts": list(map(_shown_account, found))}


async def set_robot(
    store: Store, clock: ServerClock, standing: Standing, listed: RobotList, _: Call, request: OfficeRequest
) -> object:
    """Make a user a robot, who may stream its answers, or a person again. It logs in as before."""
    account = await account_of(store, request)
    if account.uid in listed.agents:
        raise Denied(409, "the robot has an agent, which answers for it")
    kind = UserType.ROBOT if request["robot"] else UserType.PERSON
    await store.write(request.audited(users.modify), account.uid, {"type": kind}, clock.now())
    standing.changed([account.uid])
    return _shown(await account_of(store, request))


OPERATIONS: Operations = {
    "users.create": create,
    "users.get": get,
    "users.list": list_users,
    "users.status": set_status,
    "users.robot": set_robot,
    "users.number": set_number,
    "users.code": make_code,
    "users.accounts": list_accounts,
    "users.unbind": unbind,
    "sessions.count": count_sessions,
    "sessions.list": list_sessions,
    "sessions.end": end_sessions,
}
