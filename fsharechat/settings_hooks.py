"""The settings of webhooks and of the question before a message is stored (docs/webhooks.md)."""

import binascii
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from fsharechat.settings_types import Number, Seconds, Secret, Section, Whole, Words, spelled

HookEvent = Literal[
    "message.stored",
    "user.registered",
    "user.first_login",
    "group.created",
    "group.members_joined",
    "group.members_left",
    "group.changed",
    "group.roles_changed",
    "group.dismissed",
]


def _hook_address(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?(\?[^\s#]*)?", value):
        raise ValueError("must be http://host:port/path or https://host/path, without a user in it")
    return value


def signing_key(secret: str) -> bytes:
    """Return the key of a secret as Standard Webhooks writes it. Raises ValueError."""
    coded = secret.removeprefix("whsec_")
    try:
        key = binascii.a2b_base64(coded, strict_mode=True)
    except ValueError:
        key = b""
    if coded == secret or not 24 <= len(key) <= 64:
        raise ValueError("must be whsec_ and the base64 of 24 to 64 random bytes (docs/webhooks.md)")
    return key


def _hook_secret(value: str) -> str:
    if value:
        signing_key(value)
    return value


class HookSettings(Section):
    """An address that is told or asked, the secret that signs, and the conversations that it is for."""

    url: Annotated[str, AfterValidator(_hook_address), Field(max_length=2048)] = ""
    secret: Annotated[Secret, AfterValidator(_hook_secret)] = ""
    secret_file: str = ""
    conversations: Literal["all", "private", "group"] = "all"
    groups: Annotated[Words, Field(max_length=1000)] = ()
    users: Annotated[Words, Field(max_length=1000)] = ()

    @field_validator("secret_file")
    @classmethod
    def _has_a_secret(cls, value: str) -> str:
        if value:
            signing_key(_first_line(value))
        return value

    @model_validator(mode="after")
    def _can_sign(self) -> Self:
        if self.url and bool(self.secret) == bool(self.secret_file):
            raise ValueError("needs secret or secret_file, and not both")
        return self

    def wants(self, group: str, users: Collection[str]) -> bool:
        """Return whether it is for a conversation: of a group, or of two users if `group` is empty."""
        if self.conversations != "all" and (self.conversations == "group") != bool(group):
            return False
        if not self.groups and not self.users:
            return True
        return group in self.groups or not set(self.users).isdisjoint(users)

    def key(self) -> bytes:
        """Return the bytes that sign. Raises ValueError if the file is no longer what it was."""
        return signing_key(self.secret or _first_line(self.secret_file))


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ValueError(f"must be a file with a secret; it cannot be read: {error.strerror}") from None


class WebhookSettings(HookSettings):
    """A webhook: it is told of what has happened."""

    name: Annotated[
        str,
        spelled(
            r"[a-z0-9][a-z0-9._-]{0,63}",
            "at most 64 small letters, digits and . _ - with a letter or digit first",
        ),
    ]
    url: Annotated[str, AfterValidator(_hook_address), Field(min_length=1, max_length=2048)]
    events: Annotated[tuple[HookEvent, ...], Field(min_length=1)]
    content: bool = True


class WebhooksSettings(Section):
    hooks: Annotated[tuple[WebhookSettings, ...], Field(max_length=20)] = ()
    seconds: Annotated[Number, Field(gt=0, le=60)] = 10
    keep_seconds: Seconds = 86_400
    per_second: Annotated[Whole, Field(ge=1, le=10_000)] = 200

    @field_validator("hooks")
    @classmethod
    def _named_once(cls, value: tuple[WebhookSettings, ...]) -> tuple[WebhookSettings, ...]:
        if len({hook.name for hook in value}) < len(value):
            raise ValueError("has two hooks with one name")
        return value


class BeforeSendSettings(HookSettings):
    seconds: Annotated[Number, Field(gt=0, le=2.5)] = 1
    unanswered: Literal["allow", "refuse"] = "allow"
    under_way: Annotated[Whole, Field(ge=1, le=1000)] = 100
