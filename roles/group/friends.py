"""Friends and friend requests: FAR, FHR, FRP, FRUS, FP and FALS (contract.md sections 7 and 8).

FDL (delete a friend) and BLU (blacklist) are additions of this project.
"""

from typing import NamedTuple

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import long_payload
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    PersistFlag,
    RequestStatus,
    SubSignal,
)
from fsharechat.rpc import Call
from fsharechat.store import friends, heads, messages
from fsharechat.store.friends import FriendRequest
from fsharechat.store.heads import FRIENDS, REQUESTS, next_version
from fsharechat.store.messages import NewMessage, Stored
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox
from roles.group.own_messages import private_message, text_content
from roles.group.standing import Standing, check_heard
from roles.group.words import WordFilter

MAX_REASON = 1000
MAX_ALIAS = 64
MAX_FRIENDS = 5000
"""The most friends of one user: one answer has all of them."""

MAX_BLACKLIST = 1000
"""The most users on one blacklist: it is kept in memory for each user who gets messages."""

TIPS = ("以上是打招呼信息", "你们已经成为好友了，现在可以开始聊天了")
"""The texts after the greeting of a new friendship (section 8)."""

_ACCEPTING = (RequestStatus.SENT, RequestStatus.ACCEPTED)
"""The status values of an FHR that accept (section 7)."""


async def add_friend(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    word_filter: WordFilter,
    outbox: EventOutbox,
    call: Call,
    request: pb.AddFriendRequest,
) -> None:
    target = request.target_uid
    if target == call.uid or len(request.reason) > MAX_REASON:
        raise Refusal(Code.INVALID_PARAMETER)
    if request.reason:
        await standing.check_rights(call.uid, check_heard)  # it becomes a message
    if await word_filter.forbids(call.uid, [request.reason]):
        raise Refusal(Code.SENSITIVE_WORD)
    await standing.rights_of(target)
    version = await store.write(_ask, call.uid, target, request.reason, clock.now(), call.retried)
    _tell_of_requests(outbox, version, call.uid, target)


def _tell_of_requests(outbox: EventOutbox, version: int, *uids: str) -> None:
    """Send FRN to all devices of the users whose list has changed. Else the head check would tell them later."""
    for uid in uids:
        outbox.notify(SubSignal.FRN, long_payload(version), uid)


def _ask(dialect: Dialect, uid: str, target: str, reason: str, now: int, retried: bool) -> Unit[int]:
    """Keep a request; return its version."""
    if (yield from friends.tie(dialect, target, uid)).is_blacklisted:
        raise Refusal(Code.BLACKLISTED)
    before = yield from friends.request(dialect, uid, target)
    if before is not None:
        if friends.is_open(before, now):
            if retried and before.reason == reason:
                return before.update_dt  # the first try did it
            raise Refusal(Code.ALREADY_REQUESTED)
        if friends.is_blocked(before, now):
            raise Refusal(Code.REQUEST_BLOCKED)
    if (yield from friends.friend_count(dialect, uid)) >= MAX_FRIENDS:
        raise Refusal(Code.INVALID_PARAMETER)
    if (yield from friends.tie(dialect, uid, target)).is_friend:
        raise Refusal(Code.ALREADY_REQUESTED)
    version = yield from next_version(dialect, REQUESTS, (uid, target), now)
    yield from friends.put_request(
        dialect, FriendRequest(uid, target, reason, RequestStatus.SENT, now, 0, version, True, False)
    )
    return version


async def handle_request(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: pb.HandleFriendRequest,
) -> None:
    requester, now = request.target_uid, clock.now()
    if request.status == RequestStatus.REJECTED:
        closed, _ = await store.write(_close, requester, call.uid, RequestStatus.REJECTED, now, call.retried)
        _tell_of_requests(outbox, closed.update_dt, requester, call.uid)
    elif request.status in _ACCEPTING:
        ids = [clock.next_id() for _ in range(1 + len(TIPS))]
        done = await store.write(_accept, requester, call.uid, ids, now, call.retried)
        standing.changed((requester, call.uid))
        outbox.announce(done.greetings, done.stored)
        for uid in (requester, call.uid):
            outbox.notify(SubSignal.FN, long_payload(done.version), uid)
        _tell_of_requests(outbox, done.answered, requester, call.uid)
    else:
        raise Refusal(Code.INVALID_PARAMETER)


def _close(
    dialect: Dialect, requester: str, uid: str, status: RequestStatus, now: int, retried: bool
) -> Unit[tuple[FriendRequest, bool]]:
    """Answer a request. Return it, and whether it was open: the first try of a retried call may have answered it."""
    found = yield from friends.request(dialect, requester, uid)
    if retried and found is not None and found.status == status:
        return found, False
    if found is None or found.status != RequestStatus.SENT:
        raise Refusal(Code.NOT_EXIST)
    if not friends.is_open(found, now):
        raise Refusal(Code.REQUEST_OVERTIME)
    version = yield from next_version(dialect, REQUESTS, (requester, uid), now)
    closed = found._replace(status=status, handled_ms=now, update_dt=version, to_read=True)
    yield from friends.put_request(dialect, closed)
    return closed, True


class _Accepted(NamedTuple):
    """The version of both users' friends, that of their requests, and the first messages of the conversation."""

    version: int
    answered: int
    greetings: list[NewMessage]
    stored: list[Stored]


def _accept(
    dialect: Dialect, requester: str, uid: str, ids: list[int], now: int, retried: bool
) -> Unit[_Accepted]:
    closed, fresh = yield from _close(dialect, requester, uid, RequestStatus.ACCEPTED, now, retried)
    if not fresh:
        return _Accepted((yield from heads.own(dialect, [uid]))[uid].friends, closed.update_dt, [], [])
    crossing = yield from friends.request(dialect, uid, requester)
    if crossing is not None and friends.is_open(crossing, now):
        answered = crossing._replace(
            status=RequestStatus.ACCEPTED, handled_ms=now, update_dt=closed.update_dt
        )
        yield from friends.put_request(dialect, answered)
    version = yield from next_version(dialect, FRIENDS, (requester, uid), now)
    for one, other in ((requester, uid), (uid, requester)):
        if (yield from friends.tie(dialect, one, other)).is_blacklisted:
            raise Refusal(Code.BLACKLISTED)
        if (yield from friends.friend_count(dialect, one)) >= MAX_FRIENDS:
            raise Refusal(Code.INVALID_PARAMETER)
    yield from friends.befriend(dialect, requester, uid, version)
    contents = [
        text_content(closed.reason),
        *(
            pb.MessageContent(type=ContentType.TIP, content=tip, persist_flag=PersistFlag.STORED)
            for tip in TIPS
        ),
    ]
    greetings = [
        private_message(id, requester, uid, content, now) for id, content in zip(ids, contents, strict=True)
    ]
    stored = yield from messages.append(dialect, greetings)
    return _Accepted(version, closed.update_dt, greetings, stored)


async def pull_requests(store: Store, call: Call, request: pb.Version) -> pb.GetFriendRequestResult:
    found = await store.read_for(call.uid, friends.requests, call.uid, request.version)
    return pb.GetFriendRequestResult(
        entry=[
            pb.FriendRequest(
                from_uid=one.from_uid,
                to_uid=one.to_uid,
                reason=one.reason,
                status=one.status,
                update_dt=one.update_dt,
                from_read_status=bool(one.from_read),
                to_read_status=bool(one.to_read),
            )
            for one in found
        ]
    )


async def mark_requests_read(
    store: Store, clock: ServerClock, outbox: EventOutbox, call: Call, request: pb.Version
) -> None:
    version = await store.write(_mark_read, call.uid, request.version, clock.now())
    _tell_of_requests(outbox, version, call.uid)


def _mark_read(dialect: Dialect, uid: str, upto: int, now: int) -> Unit[int]:
    version = yield from next_version(dialect, REQUESTS, [uid], now)
    yield from friends.mark_read(dialect, uid, upto, version)
    return version


async def pull_friends(store: Store, call: Call, request: pb.Version) -> pb.GetFriendsResult:
    rows = await store.read_for(call.uid, friends.changed, call.uid, request.version)
    return pb.GetFriendsResult(
        entry=[pb.Friend(uid=uid, state=state, update_dt=dt, alias=alias) for uid, state, dt, alias in rows]
    )


async def set_alias(
    store: Store, clock: ServerClock, outbox: EventOutbox, call: Call, request: pb.AddFriendRequest
) -> None:
    """Keep `reason` as the alias of a friend."""
    if len(request.reason) > MAX_ALIAS:
        raise Refusal(Code.INVALID_PARAMETER)
    version = await store.write(_set_alias, call.uid, request.target_uid, request.reason, clock.now())
    outbox.notify(SubSignal.FN, long_payload(version), call.uid, except_client=call.client_id)


def _set_alias(dialect: Dialect, uid: str, friend_uid: str, alias: str, now: int) -> Unit[int]:
    version = yield from next_version(dialect, FRIENDS, [uid], now)
    tie = yield from friends.tie(dialect, uid, friend_uid)
    if not tie.is_friend and not tie.is_blacklisted:
        raise Refusal(Code.NOT_EXIST)
    yield from friends.put_tie(dialect, uid, friend_uid, tie._replace(alias=alias), version)
    return version


async def delete_friend(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: pb.DeleteFriendRequest,
) -> None:
    other = request.target_uid
    await standing.rights_of(other)
    version = long_payload(await store.write(_delete, call.uid, other, clock.now(), call.retried))
    standing.changed((call.uid, other))
    outbox.notify(SubSignal.FN, version, call.uid, except_client=call.client_id)
    outbox.notify(SubSignal.FN, version, other)


def _delete(dialect: Dialect, uid: str, other: str, now: int, retried: bool) -> Unit[int]:
    """End a friendship on both sides. Return the version of both users' friends."""
    version = yield from next_version(dialect, FRIENDS, (uid, other), now)
    were_friends = False
    for one, two in sorted(((uid, other), (other, uid))):
        tie = yield from friends.tie(dialect, one, two)
        if tie.is_friend:
            were_friends = True
            yield from friends.put_tie(dialect, one, two, tie.no_friend(), version)
    if not were_friends and not retried:
        raise Refusal(Code.NOT_EXIST)
    return version


async def blacklist(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    outbox: EventOutbox,
    call: Call,
    request: pb.BlacklistUserRequest,
) -> None:
    """Put a user on the blacklist of another, or take them off it. They are not told."""
    target = request.target_uid
    if target == call.uid or request.status not in (0, 1):
        raise Refusal(Code.INVALID_PARAMETER)
    await standing.rights_of(target)
    version = await store.write(_blacklist, call.uid, target, bool(request.status), clock.now())
    standing.changed((call.uid,))
    outbox.notify(SubSignal.FN, long_payload(version), call.uid, except_client=call.client_id)


def _blacklist(dialect: Dialect, uid: str, target: str, on: bool, now: int) -> Unit[int]:
    version = yield from next_version(dialect, FRIENDS, [uid], now)
    tie = yield from friends.tie(dialect, uid, target)
    if on == tie.is_blacklisted:
        return version
    if on and (yield from friends.blacklist_size(dialect, uid)) >= MAX_BLACKLIST:
        raise Refusal(Code.INVALID_PARAMETER)
    yield from friends.put_tie(dialect, uid, target, tie.blacklisted(on), version)
    return version


HANDLERS = Handlers(
    requests={
        SubSignal.FAR: add_friend,
        SubSignal.FHR: handle_request,
        SubSignal.FRP: pull_requests,
        SubSignal.FRUS: mark_requests_read,
        SubSignal.FP: pull_friends,
        SubSignal.FALS: set_alias,
        SubSignal.FDL: delete_friend,
        SubSignal.BLU: blacklist,
    },
)
