"""Logins with accounts of another server, by OpenID Connect (docs/oidc.md)."""

from enum import IntEnum, StrEnum
from typing import NamedTuple


class Trouble(StrEnum):
    """Why such a login failed. Pages and clients have a sentence for each."""

    AWAY = "away"
    """The provider does not answer, or its answer is not that of a provider."""
    BUSY = "busy"
    """Too many such logins at once."""
    EXPIRED = "expired"
    """The login took too long, was begun in another browser, or was finished already."""
    REFUSED = "refused"
    """The provider, or the person there, did not agree."""
    NOT_LET_IN = "notLetIn"
    """The account may not come in, by `[oidc] required_claim`."""
    WRONG = "wrong"
    """The answer of the provider cannot be trusted."""


class OidcError(Exception):
    """A login failed. The text is the reason for the log: it names no secret and no person."""

    def __init__(self, trouble: Trouble, reason: str) -> None:
        super().__init__(reason)
        self.trouble = trouble


class OidcAccount(NamedTuple):
    """An account of a provider. `issuer` and `subject` never change. The rest is what the provider says of it now.

    `email` and `number` are in the form of the store (login_numbers.py). They are "" unless the provider has verified
    them.
    """

    issuer: str
    subject: str
    email: str = ""
    number: str = ""
    name: str = ""


class DeviceLogin(NamedTuple):
    """A login that a person allows in any browser (RFC 8628). Times are in seconds."""

    device_code: str
    user_code: str
    address: str
    whole_address: str
    """The address with the code in it, "" if the provider gives none."""
    seconds: float
    interval: float


class Phase(IntEnum):
    BROWSER = 1
    """A browser is at the provider."""
    KNOWN = 2
    """The browser is back, and the account is known. The page finishes the login."""
    DEVICE = 3
    """A terminal waits until somebody allows its login in a browser."""


class Polled(IntEnum):
    """Whether the provider may be asked about the login of a terminal."""

    NOW = 0
    LATER = 1
    NEVER = 2
