"""The shapes of requests and answers of the back office, for checking and for the OpenAPI description."""

import binascii
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

MAX_MOBILES = 1000
"""The most numbers in one push."""

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

Status = Literal["normal", "muted", "blocked"]
Number64 = Annotated[int, Field(description="Milliseconds since the Unix epoch.")]


class UsersQuery(Strict):
    search: Annotated[str, Field(max_length=255)] = Field(
        "", description="A uid, or a part of a number or a display name."
    )
    status: Literal["", "normal", "muted", "blocked"] = Field("", description="Only users of that status.")
    after: str = _AFTER
    limit: int = _limit(200)


class NewUser(Strict):
    number: str = Field(max_length=254, description="The mobile number or e-mail address to log in with.")
    displayName: str = Field("", max_length=64, description="Default: the last four digits of the number.")


class NewStatus(Strict):
    status: Status = Field(description="muted: may not send (code 247). blocked: may not connect.")


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
    after: str = _AFTER
    limit: int = _limit(200)


class MembersQuery(Strict):
    after: str = _AFTER
    limit: int = _limit(500)


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
    part: Literal["profile", "friends", "groups", "settings", "sent", "inbox"]
    rows: list[dict[str, Any]]
    next: str = Field(description="Ask again with it as `after`; empty at the end.")


class Deletion(ApiObject):
    uid: str = Field(description="Ask again with this: the number of the user is gone.")
    next: str = Field(description="Ask again with it as `after`; empty when the user is deleted.")


class WordsQuery(Strict):
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


class Added(ApiObject):
    added: int = Field(description="How many were new.")


class Removed(ApiObject):
    removed: int = Field(description="How many existed.")
