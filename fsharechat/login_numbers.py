"""Mobile numbers and e-mail addresses: what users log in with, in the one form that is kept."""

import re

_MOBILE = re.compile(r"1[3-9][0-9]{9}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,}")
MAX_NUMBER = 254
"""The most characters of a number or address."""


def normal_number(text: object) -> str | None:
    """Return a mobile number or e-mail address in the form that is kept, None if the text is neither."""
    if not isinstance(text, str) or len(text) > MAX_NUMBER:
        return None
    number = text.strip().lower()
    return number if _MOBILE.fullmatch(number) or _EMAIL.fullmatch(number) else None


def normal_invitee(text: str) -> str | None:
    """Return a number, an address or a domain ("@example.org") in the form that is kept, None if it is neither."""
    invitee = text.strip().lower()
    someone = f"a{invitee}" if invitee.startswith("@") else invitee
    return invitee if normal_number(someone) is not None else None


def names_of(number: str) -> tuple[str, ...]:
    """Return what names a number or address in a list: itself, and the domain of an address."""
    _, at, domain = number.rpartition("@")
    return (number, f"@{domain}") if at else (number,)
