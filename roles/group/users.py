"""Finding users, and changing the own profile: US, UPUI and MMI (contract.md section 7)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

from fsharechat.errors import Refusal
from fsharechat.login_numbers import normal_mobile
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, InfoType, SubSignal, UserResultCode
from fsharechat.protocol.sizes import MAX_ENTRIES_BYTES, USER, sent_size
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import users
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Row, Unit, rows_within
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.standing import Standing, check_heard
from roles.group.words import WordFilter

_NUMBERS = ("name", "mobile", "email")
"""The fields with numbers and addresses. `name` is the one used to log in."""


class Viewer(NamedTuple):
    """A user who looks at profiles. `[users] directory` says who sees numbers and addresses of others.

    `friend_since`: the users who have the viewer as a friend, by uid, and since when (ms).
    """

    uid: str
    friend_since: Mapping[str, int]
    directory: Literal["open", "exact", "friends"]

    def profile(self, row: Row, typed: str = "") -> pb.User:
        """Return the User of a row of PROFILE columns as the viewer sees it: every field is set.

        `typed`: the keyword that found it. A new friend sees more: that counts as a new version of the profile.
        """
        user = pb.User(**dict(zip(users.PROFILE, row, strict=True)))
        if self.directory == "open" or user.uid == self.uid:
            return user
        since = self.friend_since.get(user.uid)
        if since is not None:
            user.update_dt = max(user.update_dt, since)
            return user
        for field in _NUMBERS:
            number: str = getattr(user, field)
            known = self.directory == "exact" and number.lower() == typed.lower()
            if not known and number != user.uid:  # the system's own users have no number
                setattr(user, field, "")
        return user

    def may_find(self, row: Row, typed: str) -> bool:
        """Return whether `typed` may find a user. A number or an address that only friends may see may not."""
        user = dict(zip(users.PROFILE, row, strict=True))
        by_number = typed.lower() == user["name"].lower() and typed != user["display_name"]
        known = user["uid"] == self.uid or user["uid"] in self.friend_since
        return self.directory != "friends" or known or not by_number


MAX_USERS = 2000
"""The most users in one UPUI."""

MAX_KEYWORD = 255
MAX_PAGE = 1000

_COLUMN = {
    InfoType.DISPLAY_NAME: ("display_name", 64),
    InfoType.PORTRAIT: ("portrait", 2048),
    InfoType.GENDER: ("gender", 11),
    InfoType.MOBILE: ("mobile", 64),
    InfoType.EMAIL: ("email", 254),
    InfoType.ADDRESS: ("address", 512),
    InfoType.COMPANY: ("company", 512),
    InfoType.SOCIAL: ("social", 512),
    InfoType.EXTRA: ("extra", 16000),
}
"""For each kind of change: its field, and the most characters. MySQL keeps 65,535 bytes, 4 for a character."""

_NOT_READ = (InfoType.PORTRAIT, InfoType.GENDER)
"""The kinds whose value is no text for people."""


async def search(
    settings: Settings, store: Store, call: Call, request: pb.SearchUserRequest
) -> pb.SearchUserResult:
    typed = request.keyword.strip()
    keyword = normal_mobile(typed) or typed
    page = min(max(request.page, 0), MAX_PAGE)
    if not keyword or len(keyword) > MAX_KEYWORD:
        return pb.SearchUserResult()  # no name is so long
    rows, since = await store.search_for(call.uid, _search, call.uid, keyword, request.fuzzy != 0, page)
    viewer = Viewer(call.uid, since, settings.users.directory)
    found = [viewer.profile(row, keyword) for row in rows if viewer.may_find(row, keyword)]
    return pb.SearchUserResult(entry=_lightened(found))


def _search(
    dialect: Dialect, viewer: str, keyword: str, fuzzy: bool, page: int
) -> Unit[tuple[list[Row], dict[str, int]]]:
    """Return the rows that a search finds, and which of these users have `viewer` as a friend."""
    rows = yield from users.search(dialect, keyword, fuzzy, page)
    return rows, (yield from users.friend_since(dialect, viewer, [row[0] for row in rows]))


def _lightened(found: list[pb.User]) -> list[pb.User]:
    """If an answer would be too large, leave out the long texts of the last users: UPUI has them."""
    room = MAX_ENTRIES_BYTES
    for user in found:
        room -= USER + sent_size(
            user.uid, user.name, user.display_name, user.portrait, user.mobile, user.email
        )
    for user in found:
        room -= sent_size(user.address, user.company, user.social, user.extra)
        if room < 0:
            user.address = user.company = user.social = user.extra = ""
    return found


async def pull(
    settings: Settings, store: Store, call: Call, request: pb.PullUserRequest
) -> pb.PullUserResult:
    if len(request.request) > MAX_USERS:
        raise Refusal(Code.INVALID_PARAMETER)
    uids = [wanted.uid for wanted in request.request]
    found, since = await store.read_for(call.uid, _profiles, call.uid, uids)
    viewer = Viewer(call.uid, since, settings.users.directory)
    result = pb.PullUserResult()
    for wanted, (_, row) in zip(request.request, found, strict=False):
        if row is None:
            user, code = _nobody(wanted.uid), UserResultCode.NOT_FOUND
        else:
            user = viewer.profile(row)
            known = 0 < user.update_dt <= wanted.update_dt
            code = UserResultCode.NOT_MODIFIED if known else UserResultCode.OK
        result.result.add(user=user, code=code)
    return result


def _profiles(
    dialect: Dialect, viewer: str, uids: Sequence[str]
) -> Unit[tuple[list[tuple[str, Row | None]], dict[str, int]]]:
    """Return the rows of users, and which of these users have `viewer` as a friend."""
    found = yield from rows_within(USER, uids, partial(users.profiles, dialect))
    there = list({uid for uid, row in found if row is not None})
    return found, (yield from users.friend_since(dialect, viewer, there))


def _nobody(uid: str) -> pb.User:
    return pb.User(
        uid=uid,
        name="",
        display_name="",
        portrait="",
        mobile="",
        email="",
        address="",
        company="",
        social="",
        extra="",
    )


async def modify_my_info(
    store: Store,
    clock: ServerClock,
    standing: Standing,
    word_filter: WordFilter,
    call: Call,
    request: pb.ModifyMyInfoRequest,
) -> None:
    changes: dict[str, object] = {}
    for entry in request.entry:
        known = _COLUMN.get(entry.type)  # type: ignore[call-overload]  # any number may come
        if known is None or len(entry.value) > known[1]:
            raise Refusal(Code.INVALID_PARAMETER)
        changes[known[0]] = _gender(entry.value) if entry.type == InfoType.GENDER else entry.value
    if not changes:
        raise Refusal(Code.INVALID_PARAMETER)
    texts = [entry.value for entry in request.entry if entry.type not in _NOT_READ and entry.value]
    if texts:
        await standing.check_rights(call.uid, check_heard)
    if await word_filter.forbids(call.uid, texts):
        raise Refusal(Code.SENSITIVE_WORD)
    await store.write(users.modify, call.uid, changes, clock.now())


def _gender(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise Refusal(Code.INVALID_PARAMETER) from None
    if not 0 <= number < 1 << 31:
        raise Refusal(Code.INVALID_PARAMETER)
    return number


HANDLERS = Handlers(
    requests={
        SubSignal.US: search,
        SubSignal.UPUI: pull,
        SubSignal.MMI: modify_my_info,
    },
)
