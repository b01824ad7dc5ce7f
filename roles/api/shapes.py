"""The shapes of requests and answers of the back office, for checking and for the OpenAPI description."""

import binascii
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

MAX_MOBILES = 1000
"""The most numbers in one push."""

MAX_GROUPS = 100
"""The most groups in one push: each message is a transaction of its own."""

MAX_INT32 = (1 << 31) - 1
MAX_PROBLEMS = 5
"""The most problems of one request that an answer names."""


def _absent(empty: object) -> BeforeValidator:
    """Take null for a missing field: some JSON writers write it so."""
    return BeforeValidator(lambda value: empty if value is None else value)


def _base64(text: str) -> str:
    try:
        binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise ValueError("must be base64") from None
    return text


Text = Annotated[str, _absent("")]
Number = Annotated[int, Field(ge=0, le=MAX_INT32), _absent(0)]
Mobile = Annotated[str, Field(max_length=254, description="A mobile number or e-mail address.")]


class ApiObject(BaseModel):
    """An object of the back office: a number may stand for a text, and a text of digits for a number."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


class Strict(ApiObject):
    """A shape that refuses unknown fields, so that a wrong name is reported."""

    model_config = ConfigDict(extra="forbid")


class MessageContent(ApiObject):
    """The content of a message: the fields of a MessageContent (contract.md section 5), by their names in JSON."""

    type: Annotated[int, Field(ge=0, le=MAX_INT32)] = Field(
        description="1 text, 2 voice, 3 image, 4 location, 5 file, 6 video, 7 sticker, ..."
    )
    searchableContent: Text = Field(
        "", description="The text of a text message, or a short text for other messages."
    )
    pushContent: Text = Field("", description="The text of a notification on the lock screen.")
    content: Text = Field("", description="Further data, such as the size of a file.")
    binaryContent: Annotated[str, AfterValidator(_base64), _absent("")] = Field(
        "", description="Its data in Base64, such as the thumbnail of an image."
    )
    mediaType: Number = Field(0, description="The kind of the medium: 1 image, 2 voice, 3 video, 4 file.")
    remoteMediaUrl: Text = Field("", description="The address of the medium.")


class PushMessage(ApiObject):
    content: MessageContent
    messageId: Annotated[str, Field(max_length=64), _absent("")] = Field(
        "",
        description="The caller's own id of the message. A request with the same id stores nothing a second time, "
        "and gets the answer of the first one. Without an id each request is a new message.",
    )
    timestamp: Annotated[int, _absent(0)] = Field(
        0, description="Accepted but not used: the server sets the time of a message."
    )


class PushRequest(ApiObject):
    mobiles: list[Mobile] = Field(min_length=1, max_length=MAX_MOBILES, description="The receivers.")
    content: PushMessage


class GroupPushRequest(ApiObject):
    groups: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1, max_length=MAX_GROUPS, description="The ids of the groups."
    )
    sender: Annotated[str, Field(max_length=64), _absent("")] = Field(
        "",
        description="The uid of a robot or a bot that is a member of the groups. "
        "Without one the user SystemNotification is the sender, who need not be a member.",
    )
    content: PushMessage


class GroupPushOutcome(ApiObject):
    group: str = Field(description="The id as written in the request.")
    code: Literal[200, 403, 404, 503] = Field(
        description="200 sent, 403 the sender is not a robot or bot that may speak in this group, "
        "404 there is no such group, 503 not stored, try again."
    )
    messageId: str = Field("", description="The id of the message, if it was sent.")


class PushOutcome(ApiObject):
    mobile: str = Field(description="The number as written in the request.")
    code: Literal[200, 400, 404, 503] = Field(
        description="200 sent, 400 no mobile number or e-mail address, 404 no user has this number, "
        "503 not stored, try again."
    )
    messageId: str = Field("", description="The id of the message, if it was sent.")


class BadRequest(Exception):
    """A request does not have its shape. The text names the fields, and never shows their values."""


def read(shape: type[ApiObject], given: Any) -> dict[str, Any]:
    """Return the given values as a `shape`. Raises BadRequest."""
    try:
        return shape.model_validate(given).model_dump()
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, problem['loc'])) or 'the body'}: {_said(problem['msg'])}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        more = len(problems) - MAX_PROBLEMS
        raise BadRequest(
            "; ".join(problems[:MAX_PROBLEMS] + ([f"and {more} more"] if more > 0 else []))
        ) from None


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _limit(most: int) -> Any:
    return Field(min(100, most), ge=1, le=most, description="The most entries of a page.")


_AFTER = Field("", description="The `next` of the page before.")
_ORDER: Any = Field("asc", description="asc or desc.")
Direction = Literal["asc", "desc"]

Status = Literal["normal", "muted", "blocked"]
RobotKind = Literal["stream", "ask", "openai"]
Number64 = Annotated[int, Field(description="Milliseconds since the Unix epoch.")]


class PageQuery(Strict):
    after: str = _AFTER
    limit: int = _limit(200)


class UsersQuery(Strict):
    search: Annotated[str, Field(max_length=255)] = Field(
        "", description="A uid, or a part of a number or a display name."
    )
    status: Literal["", "normal", "muted", "blocked"] = Field("", description="Only users of that status.")
    sort: Literal["uid", "number", "displayName", "updateDt"] = Field(
        "uid", description="What they are sorted by."
    )
    order: Direction = _ORDER
    after: str = _AFTER
    limit: int = _limit(200)


class NewUser(Strict):
    number: str = Field(max_length=254, description="The mobile number or e-mail address to log in with.")
    displayName: str = Field("", max_length=64, description="Default: the last four digits of the number.")


class NewStatus(Strict):
    status: Status = Field(description="muted: may not send (code 247). blocked: may not connect.")


class IsRobot(Strict):
    robot: bool = Field(
        description="Whether the user is a robot: a program that logs in, and may stream answers."
    )


class NewNumber(Strict):
    number: str = Field(max_length=254, description="The mobile number or e-mail address to log in with.")


class User(ApiObject):
    uid: str
    number: str
    displayName: str
    status: Status
    updateDt: Number64


class WholeUser(User):
    portrait: str
    gender: int
    mobile: str
    email: str
    address: str
    company: str
    social: str
    extra: str
    robot: bool = Field(description="Whether a program logs in as this user.")


class CompanyAccount(ApiObject):
    id: str
    issuer: str = Field(description="The provider.")
    subject: str = Field(description="The account there. It never changes.")
    boundAt: Number64


class CompanyAccounts(ApiObject):
    uid: str
    accounts: list[CompanyAccount] = Field(description="One for each provider at most.")


class Users(ApiObject):
    users: list[User]
    next: str = Field(description="The `after` of the next page, empty on the last.")


class Device(ApiObject):
    clientId: str
    loggedInAt: Number64 | None = Field(description="The time of its login; null if it has logged out.")
    online: bool
    node: int | None = Field(description="Its connector.")
    since: Number64 | None = Field(description="When it connected.")


class Devices(ApiObject):
    uid: str
    sessions: list[Device]
    more: int = Field(description="How many devices are not listed: at most 1,000 are.")


class NodeCount(ApiObject):
    node: int
    devices: int


class SessionCount(ApiObject):
    devices: int
    users: int
    nodes: list[NodeCount] = Field(description="By connector.")


class LogoutQuery(Strict):
    logout: bool = Field(
        True, description="Whether the device must log in again; else it may come back at once."
    )


class Ended(ApiObject):
    uid: str
    disconnected: list[str] = Field(description="Client ids whose connections were ended.")
    loggedOut: list[str] = Field(description="Client ids that must log in again.")


class GroupsQuery(Strict):
    search: Annotated[str, Field(max_length=255)] = Field(
        "", description="An id, the uid of an owner, or a part of a name."
    )
    sort: Literal["id", "name", "memberCount", "updateDt"] = Field(
        "id", description="What they are sorted by."
    )
    order: Direction = _ORDER
    after: str = _AFTER
    limit: int = _limit(200)


class MembersQuery(Strict):
    after: str = _AFTER
    limit: int = _limit(500)


class NewMemberType(Strict):
    type: Literal["normal", "silenced"]


class NewOwner(Strict):
    owner: str = Field(max_length=64, description="The uid of a member.")


class Group(ApiObject):
    id: str
    name: str
    owner: str
    type: str = Field(description="normal, free or restricted.")
    memberCount: int
    dismissed: bool
    updateDt: Number64


class Groups(ApiObject):
    groups: list[Group]
    next: str


class Member(ApiObject):
    uid: str
    displayName: str
    alias: str
    type: str = Field(description="normal, manager, owner or silenced.")
    joinedAt: Number64


class WholeGroup(Group):
    portrait: str
    extra: str
    members: list[Member]
    next: str


class PersonalQuery(Strict):
    after: str = Field("", description="What `next` of the answer before was; empty at first.")


class PersonalPage(ApiObject):
    uid: str
    part: Literal["profile", "accounts", "friends", "groups", "settings", "sent", "inbox"]
    rows: list[dict[str, Any]]
    next: str = Field(description="Ask again with it as `after`; empty at the end.")


class Deletion(ApiObject):
    uid: str = Field(description="Ask again with this: the number of the user is gone.")
    next: str = Field(description="Ask again with it as `after`; empty when the user is deleted.")


class WordsQuery(Strict):
    search: Annotated[str, Field(max_length=64)] = Field("", description="A part of a word.")
    after: str = _AFTER
    limit: int = _limit(1000)


class WordList(Strict):
    words: list[str] = Field(
        min_length=1,
        max_length=10_000,
        description="Kept in lower case and Unicode's form NFKC; 1 to 64 characters.",
    )


class Words(ApiObject):
    words: list[str]
    total: int
    next: str


_KIND = "stream and ask: the form of robots' authors. openai: the chat completions of OpenAI and others."
_SECRET = "What the agent wants as a bearer token. It is not shown again."


class NewRobot(Strict):
    uid: str = Field(max_length=64, description="The uid of the robot's user, who is made.")
    name: str = Field(max_length=64, description="Its display name, by which groups mention it.")
    portrait: Text = Field("", max_length=1024, description="The address of its picture.")
    kind: RobotKind = Field("stream", description=_KIND)
    agent: str = Field(
        max_length=1024, description="The address of the agent: http://host:port, https://host/v1."
    )
    key: Text = Field("", max_length=1024, description=_SECRET)
    model: Text = Field("", max_length=256, description="The model of an agent of the kind openai.")
    system: Text = Field(
        "", max_length=8_000, description="A text that such an agent gets before all questions."
    )
    exchanges: int | None = Field(
        None, ge=0, le=20, description="How many earlier questions and answers it gets; 3."
    )


class RobotChange(Strict):
    """What is not given stays."""

    name: str | None = Field(None, max_length=64)
    portrait: str | None = Field(None, max_length=1024)
    kind: RobotKind | None = Field(None, description=_KIND)
    agent: str | None = Field(None, max_length=1024)
    key: str | None = Field(None, max_length=1024, description=_SECRET)
    model: str | None = Field(None, max_length=256)
    system: str | None = Field(None, max_length=8_000)
    exchanges: int | None = Field(None, ge=0, le=20)


class Robot(ApiObject):
    uid: str
    name: str
    portrait: str
    kind: RobotKind
    agent: str
    model: str
    system: str
    exchanges: int
    hasKey: bool = Field(description="Whether the agent gets a key.")
    fixed: bool = Field(description="Whether it is in the settings. Then only the settings can change it.")


class RobotPage(ApiObject):
    robots: list[Robot]
    next: str


class RobotRemoved(ApiObject):
    uid: str
    removed: bool = Field(description="Whether it had an agent.")


class Added(ApiObject):
    added: int = Field(description="How many were new.")


class Removed(ApiObject):
    removed: int = Field(description="How many existed.")


class LoginCodeMade(ApiObject):
    uid: str
    number: str
    code: str = Field(description="For one login with this number. An earlier code is void.")
    expiresAt: Number64


# Bots


class NewBot(Strict):
    name: str = Field(
        pattern="^[a-z0-9][a-z0-9._-]{0,39}$",
        description="Lower-case letters, digits, dots, dashes; up to 40.",
    )


class BotUser(ApiObject):
    name: str
    uid: str
    createdAt: Number64
    active: bool = Field(description="Whether its token is good.")


class BotWithToken(BotUser):
    token: str = Field(description="Logs in this one user. It is shown only here.")


class BotUsers(ApiObject):
    bots: list[BotUser]
    next: str


class InvitationsQuery(Strict):
    after: Annotated[str, Field(max_length=32)] = _AFTER
    limit: int = _limit(200)


class NewInvitation(Strict):
    invitee: Annotated[str, Field(max_length=254)] = Field(
        "",
        description='The number, the e-mail address or the domain ("@example.org") that is invited; '
        "empty: anybody with the code.",
    )
    count: int = Field(1, ge=1, le=100_000, description="How many new users it makes.")
    days: int = Field(7, ge=1, le=3650, description="How many days it is good.")


class InvitationShown(ApiObject):
    id: str
    invitee: str = Field(
        description="The number, address or domain that is invited; empty: anybody with the code."
    )
    count: int = Field(description="How many new users it makes.")
    used: int = Field(description="How many it has made.")
    createdAt: Number64
    expiresAt: Number64
    good: bool = Field(description="Whether it still makes a user.")


class InvitationWithCode(InvitationShown):
    code: str = Field(description="Empty if it is for an invitee. It is shown only here.")


class InvitationPage(ApiObject):
    invitations: list[InvitationShown]
    next: str


class ReportsQuery(Strict):
    user: Annotated[str, Field(max_length=64)] = Field("", description="Only reports by or about this user.")
    order: Direction = Field("asc", description="desc: the newest first.")
    after: Annotated[str, Field(pattern="^[0-9]{0,18}$")] = _AFTER
    limit: int = _limit(200)


class AbuseReported(ApiObject):
    id: str
    reporter: str = Field(description="The uid of the user who reports.")
    uid: str = Field(description="Who is reported, or sent the message.")
    messageId: str = Field(description="Empty if no message is reported.")
    type: int = Field(description="The content type of the message.")
    text: str = Field(description="The text of the message, as it was then.")
    reason: str
    createdAt: Number64


class AbuseReports(ApiObject):
    reports: list[AbuseReported]
    next: str


class ReportClosed(ApiObject):
    id: str


# Administrators


def _free_name(name: str) -> str:
    if name in ("key", "command", "account"):
        raise ValueError("the audit log uses this name for something else")
    return name


AccountName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9._@-]{0,63}$", description="Lower case."),
    AfterValidator(_free_name),
]
AccountRole = Literal["read", "people", "all"]
Password = Annotated[str, Field(min_length=10, max_length=256)]


class SignInRequest(Strict):
    name: str = Field(max_length=64)
    password: str = Field(max_length=256)


class OwnPassword(Strict):
    old: str = Field(max_length=256)
    password: Password


class NewAccount(Strict):
    name: AccountName
    role: AccountRole = Field(
        description="read: sees everything. people: changes users and groups too. all: everything."
    )
    password: Password


class NewRole(Strict):
    role: AccountRole


class NewPassword(Strict):
    password: Password


class AdminAccount(ApiObject):
    name: str
    role: AccountRole
    madeAt: Number64


class AdminAccounts(ApiObject):
    accounts: list[AdminAccount]
    next: str


class WhoAsks(ApiObject):
    name: str = Field(description="Empty with the key.")
    role: AccountRole
    idleSeconds: int = Field(description="After so long without a request a session ends.")


# The audit log


class AuditQuery(Strict):
    actor: str = Field(
        "", max_length=64, description="Only of this administrator. key and command are people with the key."
    )
    op: str = Field("", max_length=64, description="Only this operation.")
    target: str = Field("", max_length=255, description="Only about this user, group or administrator.")
    since: int = Field(0, ge=0, description="Only from this time on, ms.")
    until: int = Field(0, ge=0, description="Only before this time, ms; 0: all.")
    order: Direction = Field("desc", description="desc: the newest first.")
    after: Annotated[str, Field(pattern=r"^[0-9]{0,19}$")] = _AFTER
    limit: int = _limit(500)


class AuditRecord(ApiObject):
    id: str
    at: Number64
    way: Literal["key", "command", "account"]
    actor: str
    op: str
    target: str
    details: dict[str, Any]
    address: str
    status: int = Field(description="The HTTP status. 200: it was done.")


class AuditRecords(ApiObject):
    entries: list[AuditRecord]
    next: str


# The server


class ProcessView(ApiObject):
    name: str = Field(description="The host and the number of the process.")
    roles: list[str]
    version: str
    at: Number64
    startedAt: Number64
    addresses: dict[str, str]
    metrics: dict[str, float] = Field(description="As /metrics has them, without `fsharechat_`.")
    health: dict[str, str] = Field(description='As in /monitor/ready: "ok", or what is wrong, by part.')
    serves: bool
    leases: dict[str, int] = Field(description="The node ids that it holds, by role.")


class Processes(ApiObject):
    processes: list[ProcessView]
    warnings: list[str] = Field(description="What is wrong, in words.")


class SettingsQuery(Strict):
    search: Annotated[str, Field(max_length=64)] = Field("", description="A part of a key.")
    after: Annotated[str, Field(pattern="^[0-9]{0,9}$")] = _AFTER
    limit: int = _limit(500)


class SettingView(ApiObject):
    key: str
    value: str = Field(description="*** for a secret that is set.")
    isDefault: bool


class SettingViews(ApiObject):
    settings: list[SettingView]
    next: str
