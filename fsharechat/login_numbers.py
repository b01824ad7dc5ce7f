"""Mobile numbers and e-mail addresses: what users log in with, in the one form that is kept.

A mainland number is kept without its country, as all clients write it. A number of another country is kept as in
E.164: `+`, the country code, and the rest.
"""

import re

_MAINLAND = re.compile(r"1[3-9][0-9]{9}")
_ABROAD = re.compile(r"\+[1-9][0-9]{6,14}")
_MAINLAND_CODE = "+86"
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f\"(),:;<>\[\\\]]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.)+[A-Za-z]{2,}")
MAX_NUMBER = 254
"""The most characters of a number or address."""


def abroad(number: str) -> bool:
    """Return whether a number in the form that is kept is a mobile number of another country."""
    return _ABROAD.fullmatch(number) is not None


def normal_mobile(text: str) -> str | None:
    """Return a mobile number in the form that is kept, None if the text is none. `00` may stand for `+`."""
    number = text.strip()
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if number.startswith(_MAINLAND_CODE):
        number = number.removeprefix(_MAINLAND_CODE)
        return number if _MAINLAND.fullmatch(number) else None
    return number if _MAINLAND.fullmatch(number) or _ABROAD.fullmatch(number) else None


def normal_number(text: object) -> str | None:
    """Return a mobile number or e-mail address in the form that is kept, None if the text is neither."""
    if not isinstance(text, str) or len(text) > MAX_NUMBER:
        return None
    mobile = normal_mobile(text)
    if mobile is not None:
        return mobile
    address = text.strip().lower()
    return address if _EMAIL.fullmatch(address) else None


def normal_invitee(text: str) -> str | None:
    """Return a number, an address or a domain ("@example.org") in the form that is kept, None if it is neither."""
    invitee = text.strip().lower()
    if invitee.startswith("@"):
        return invitee if normal_number(f"a{invitee}") is not None else None
    return normal_number(invitee)


def names_of(number: str) -> tuple[str, ...]:
    """Return what names a number or address in a list: itself, and the domain of an address."""
    _, at, domain = number.rpartition("@")
    return (number, f"@{domain}") if at else (number,)
