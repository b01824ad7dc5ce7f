"""Operations of the back office on all that is stored about one user: its export, and its deletion.

Both go page by page: the caller repeats the request with `next` until that is empty. So each call is short, and a
deletion that was cut off is done again from the start, and finds less to do.
"""

import asyncio
from urllib.parse import unquote

import structlog
from google.protobuf.json_format import MessageToDict

from fsharechat.blobs import Blobs, BlobsError
from fsharechat.blobs.keys import uploader_of
from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SYSTEM_TYPES, MediaType, UserStatus
from fsharechat.rpc import Call
from fsharechat.store import admin, inboxes, messages, oidc, personal, users
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import Denied, OfficeRequest, Operations
from roles.group.admin_users import account_of
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.group_changes import GroupChanges
from roles.group.groups import leave_for_good
from roles.group.open_push import SENDER
from roles.group.recall import notice_of
from roles.group.robots import Robots
from roles.group.standing import Standing

log = structlog.get_logger(__name__)

WORK_SECONDS = 2.0
"""How long one call of a deletion works, s: less than a call between processes may take."""

_PARTS = ("profile", "accounts", "friends", "groups", "settings", "sent", "inbox")


async def export(store: Store, blobs: Blobs, call: Call, request: OfficeRequest) -> object:
    """Return a page of what is stored about a user: `part` names the kind of its rows.

    Messages that the user sent have `media`, the addresses of the user's own files in this deployment.
    """
    account = await account_of(store, request)
    uid = account.uid
    part, _, after = (request["after"] or f"{_PARTS[0]}:").partition(":")
    rows: list[dict[str, object]] = []
    following = ""
    match part:
        case "profile":
            found = await store.read(users.profiles, [uid])
            rows = [{**dict(zip(users.PROFILE, found[uid], strict=True)), "number": account.number}]
            rows[0]["media"] = await _own_files(blobs, uid, str(rows[0]["portrait"]))
        case "accounts":
            found_accounts = await store.read(oidc.bound, uid)
            rows = [
                {"issuer": one.issuer, "subject": one.subject, "boundAt": one.bound_ms}
                for one in found_accounts
            ]
        case "friends":
            names: tuple[str, ...] = ("uid", "state", "alias", "updateDt")
            rows = [
                dict(zip(names, row, strict=True)) for row in await store.read(personal.friends, uid, after)
            ]
            following = str(rows[-1]["uid"]) if len(rows) == personal.STEP else ""
        case "groups":
            names = ("id", "name", "alias", "type", "joinedAt")
            rows = [
                dict(zip(names, row, strict=True))
                for row in await store.read(personal.memberships, uid, after)
            ]
            following = str(rows[-1]["id"]) if len(rows) == personal.STEP else ""
        case "settings":
            names = ("scope", "name", "value", "updateDt")
            rows = [dict(zip(names, row, strict=True)) for row in await store.read(personal.settings, uid)]
        case "sent":
            sent, following = await store.read(personal.sent, uid, after)
            for _, body in sent:
                row = _shown(body)
                address = pb.Message.FromString(body).content.remote_media_url
                rows.append({**row, "media": await _own_files(blobs, uid, address)})
        case "inbox":
            pulled = await store.read(inboxes.pull, uid, int(after or 0))
            rows = [{"seq": entry.seq, **_shown(entry.body)} for entry in pulled.entries]
            following = str(pulled.entries[-1].seq) if pulled.entries else ""
        case _:
            raise Denied(400, "after: must be what `next` was")
    if following:
        return {"uid": uid, "part": part, "rows": rows, "next": f"{part}:{following}"}
    later = _PARTS[_PARTS.index(part) + 1 :]
    return {"uid": uid, "part": part, "rows": rows, "next": f"{later[0]}:" if later else ""}


def _shown(body: bytes) -> dict[str, object]:
    return dict(MessageToDict(pb.Message.FromString(body)))


async def _own_files(blobs: Blobs, uid: str, address: str) -> list[str]:
    """Return the address if its file is in the user's own folder: what was forwarded belongs to somebody else."""
    return [address] if await _own_place(blobs, uid, address) is not None else []


async def _own_place(blobs: Blobs, uid: str, address: str) -> tuple[MediaType, str] | None:
    place = _place(blobs, address)
    return place if place is not None and uploader_of(place[1]) == await blobs.folder_of(uid) else None


def _place(blobs: Blobs, address: str) -> tuple[MediaType, str] | None:
    """Return the kind and the object's name of a file of this deployment, None if the address is another one."""
    for kind in MediaType:
        begin = f"{blobs.bucket_url(kind)}/"
        if address.startswith(begin) and (name := unquote(address.removeprefix(begin).partition("?")[0])):
            return kind, name
    return None


async def delete(
    store: Store,
    clock: ServerClock,
    blobs: Blobs,
    standing: Standing,
    expulsion: Expulsion,
    changes: GroupChanges,
    robots: Robots,
    call: Call,
    request: OfficeRequest,
) -> object:
    """Delete a user, step by step: logged out and without a name first, then out of all groups, then without texts
    and media, and at last without rows of their own. Messages stay as notices, in their places.
    """
    account = await account_of(store, request)
    uid = account.uid
    if uid == SENDER or uid in robots.agents:
        raise Denied(409, "the server itself writes as this user")
    step, _, after = request["after"].partition(":")
    if not step:
        face = await store.read(personal.portrait, uid)
        await _remove_file(blobs, uid, face)
        await store.write(personal.empty_profile, uid, clock.now())
        expulsion.watch(uid)
        expulsion.kick(uid)
        standing.changed([uid])
        log.info("a user is being deleted", uid=uid)
        return {"uid": uid, "next": "groups:"}
    until = asyncio.get_running_loop().time() + WORK_SECONDS
    while asyncio.get_running_loop().time() < until:
        match step:
            case "groups":
                for group_id, *_ in await store.read(personal.memberships, uid, ""):
                    await _leave(changes, uid, group_id)
                    break
                else:
                    step = "messages"
            case "messages":
                sent, after = await store.read(personal.sent, uid, after)
                files = await store.write(_without_texts, uid, [id for id, _ in sent])
                for address in files:
                    await _remove_file(blobs, uid, address)
                step = "messages" if after else "rows"
            case "rows":
                if not await store.write(personal.remove_rows, uid):
                    await store.write(admin.set_status, uid, UserStatus.BLOCKED)
                    standing.changed([uid])
                    log.info("a user was deleted", uid=uid)
                    return {"uid": uid, "next": ""}
            case _:
                raise Denied(400, "after: must be what `next` was")
    return {"uid": uid, "next": f"{step}:{after}"}


async def _leave(changes: GroupChanges, uid: str, group_id: str) -> None:
    try:
        await leave_for_good(changes, uid, group_id)
    except Refusal as refusal:
        raise Denied(409, f"the user cannot leave the group {group_id}: {refusal}") from refusal


def _without_texts(dialect: Dialect, uid: str, ids: list[int]) -> Unit[list[str]]:
    """Make notices of messages. Return the addresses of their files. What the server itself said stays."""
    files: list[str] = []
    for id in ids:
        body = yield from messages.body_for_change(dialect, id)
        if body is None:
            continue
        message = pb.Message.FromString(body)
        if message.content.type in SYSTEM_TYPES:
            continue
        if message.content.remote_media_url:
            files.append(message.content.remote_media_url)
        message.content.CopyFrom(notice_of(uid, id))
        yield from messages.replace_body(dialect, id, message.SerializeToString())
    return files


async def _remove_file(blobs: Blobs, uid: str, address: str) -> None:
    """Remove a file if it is in the user's own folder."""
    place = await _own_place(blobs, uid, address)
    if place is None:
        return
    try:
        await blobs.remove(place[0], blobs.kept_name(place[1]))
    except BlobsError as error:
        raise Denied(503, f"a file cannot be removed: {error}") from error


OPERATIONS: Operations = {
    "users.export": export,
    "users.delete": delete,
}
