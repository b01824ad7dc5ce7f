"""Operations of the back office on invitations: who may become a user."""

import secrets
from functools import partial

from fsharechat.login_numbers import normal_invitee
from fsharechat.rpc import Call
from fsharechat.store import invitations
from fsharechat.store.invitations import Invitation
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.admin import DAY_MS, Denied, OfficeRequest, Operations, page
from roles.group.clock import ServerClock
from roles.group.login import invitation_digest
from roles.group.tokens import TokenSigner

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without signs that look like others: people may copy a code by hand."""
_CODE_SIZE = 16


def _shown(found: Invitation, now: int) -> dict[str, object]:
    return {
        "id": found.id,
        "invitee": found.invitee,
        "count": found.places,
        "used": found.used,
        "createdAt": found.created_ms,
        "expiresAt": found.expires_ms,
        "good": found.good(now),
    }


async def create(
    store: Store, clock: ServerClock, tokens: TokenSigner, _: Call, request: OfficeRequest
) -> object:
    """Invite a number, an address, a domain, or anybody with the code. Only this answer has the code."""
    given, now = request["invitee"], clock.now()
    invitee = normal_invitee(given) if given else ""
    if invitee is None:
        raise Denied(400, "invitee: must be a mobile number, an e-mail address, or @ and a domain")
    code = "" if invitee else "".join(secrets.choice(_LETTERS) for _ in range(_CODE_SIZE))
    digest = invitation_digest(tokens, code) if code else b""
    made = Invitation(request["id"], invitee, request["count"], 0, now, now + request["days"] * DAY_MS)
    request.about(invitee or made.id)
    await store.write(request.audited(invitations.create), made, digest)
    return {**_shown(made, now), "code": code}


async def list_invitations(store: Store, clock: ServerClock, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    found = await store.read(invitations.page, request["after"], limit + 1)
    show = partial(_shown, now=clock.now())
    return page("invitations", found, limit, show, lambda one: one.id)


async def revoke(store: Store, clock: ServerClock, _: Call, request: OfficeRequest) -> object:
    """End an invitation. Users who came by it stay."""
    now = clock.now()
    return _shown(await store.write(request.audited(_revoke), request["invitation"], now), now)


def _revoke(dialect: Dialect, id: str, now: int) -> Unit[Invitation]:
    found = yield from invitations.revoke(dialect, id, now)
    if found is None:
        raise Denied(404, "there is no such invitation")
    return found


OPERATIONS: Operations = {
    "invitations.create": create,
    "invitations.list": list_invitations,
    "invitations.revoke": revoke,
}
