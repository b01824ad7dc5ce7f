"""Checks ID tokens (OpenID Connect Core 1.0, section 3.1.3.7), and reads what they say of an account.

The userinfo endpoint may say what they lack (section 5.3).
"""

import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jwt

from fsharechat.login_numbers import normal_mobile, normal_number
from fsharechat.oidc import OidcAccount, OidcError, Trouble
from fsharechat.settings_schema import OidcSettings

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
"""Only the provider can make these signatures. Shared secrets, and "none", are never accepted."""

_UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)
"""The errors of a broken token. Its JSON may have an infinite time, or may be nested too deeply."""

LEEWAY_SECONDS = 30
"""How far the clocks of the provider and of this machine may differ, s."""

MAX_SUBJECT = 255
"""The most characters of a subject, by the standard."""

MAX_NAME = 64

_SCOPES = {"email": "email", "phone_number": "phone", "name": "profile"}
"""The scope by which a provider tells of each claim of the standard (section 5.4)."""

Claims = Mapping[str, Any]


def header_of(token: str) -> tuple[str, str]:
    """Return the algorithm and the key id ("" if it names none) of a token. Raises OidcError."""
    try:
        header = jwt.get_unverified_header(token)
    except _UNREADABLE as error:
        raise OidcError(Trouble.WRONG, f"the ID token cannot be read: {type(error).__name__}") from None
    algorithm, key_id = header.get("alg"), header.get("kid", "")
    if algorithm not in ALGORITHMS:
        raise OidcError(
            Trouble.WRONG, f"the ID token is signed by {str(algorithm)[:20]!r}, which is not accepted"
        )
    return algorithm, key_id if isinstance(key_id, str) else ""


def checked(
    token: str, key: Mapping[str, Any], algorithm: str, settings: OidcSettings, nonce: str | None
) -> Claims:
    """Return the claims of a token that `key`, a JSON Web Key, has signed with `algorithm`.

    `nonce` is that with which the login began, None for a login without one (RFC 8628). Raises OidcError.
    """
    try:
        claims: Claims = jwt.decode(
            token,
            jwt.PyJWK(dict(key), algorithm),
            algorithms=[algorithm],
            audience=settings.client_id,
            issuer=settings.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
        json.dumps(claims, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except _UNREADABLE as error:
        raise OidcError(Trouble.WRONG, f"the ID token is not accepted: {type(error).__name__}") from None
    party = claims.get("azp", settings.client_id if not _several(claims["aud"]) else None)
    if party != settings.client_id:
        raise OidcError(Trouble.WRONG, "the ID token was made for another client")
    said = claims.get("nonce")
    if nonce is not None and not (
        isinstance(said, str) and hmac.compare_digest(said.encode(), nonce.encode())
    ):
        raise OidcError(Trouble.WRONG, "the ID token belongs to another login")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= MAX_SUBJECT:
        raise OidcError(Trouble.WRONG, f"the subject must have 1 to {MAX_SUBJECT} characters")
    return claims


def lacks(claims: Claims, settings: OidcSettings) -> bool:
    """Return whether an ID token lacks a claim that the scopes ask for. Then userinfo is asked."""
    wanted: list[tuple[str, ...]] = [(settings.required_claim,)] if settings.required_claim else []
    wanted += [
        (name, f"{name}_verified")
        for name in (settings.email_claim, settings.number_claim)
        if _asked(name, settings)
    ]
    wanted += [(settings.name_claim,)] if _asked(settings.name_claim, settings) else []
    return not all(_has(claims, names) for names in wanted)


def _asked(name: str, settings: OidcSettings) -> bool:
    """Return whether the scopes ask for a claim. Any scope may bring a claim that is not of the standard."""
    return name not in _SCOPES or _SCOPES[name] in settings.scopes


def account_of(sources: Sequence[Claims], settings: OidcSettings) -> OidcAccount:
    """Return the account that checked claims describe: those of the ID token, then those of userinfo if it was asked.

    Raises OidcError with NOT_LET_IN if the account may not come in.
    """
    if settings.required_claim:
        found = _claim(_first(sources, settings.required_claim), settings.required_claim)
        values = found if isinstance(found, list) else [found]
        if not any(value in settings.required_values for value in values if isinstance(value, str)):
            raise OidcError(
                Trouble.NOT_LET_IN, f"the claim {settings.required_claim!r} has none of the required values"
            )
    email = normal_number(_verified(sources, settings.email_claim)) or ""
    number = _verified(sources, settings.number_claim)
    name = _claim(_first(sources, settings.name_claim), settings.name_claim)
    shown = "".join(letter for letter in name if letter.isprintable()) if isinstance(name, str) else ""
    return OidcAccount(
        settings.issuer,
        sources[0]["sub"],
        email if "@" in email else "",
        normal_mobile(number) or "" if isinstance(number, str) else "",
        shown.strip()[:MAX_NAME].strip(),
    )


def _verified(sources: Sequence[Claims], name: str) -> object:
    """Return a claim that the provider calls verified, else None. Some providers write true as a text.

    The claim and `_verified` must be of one source: the other source may have another value, not verified.
    """
    claims = _first(sources, name, f"{name}_verified")
    verified = _claim(claims, f"{name}_verified")
    return _claim(claims, name) if verified is True or verified == "true" else None


def _first(sources: Sequence[Claims], *names: str) -> Claims:
    """Return the first source with all these claims, {} if none has them."""
    return next((claims for claims in sources if _has(claims, names)), {})


def _has(claims: Claims, names: Sequence[str]) -> bool:
    return all(_claim(claims, name) is not None for name in names)


def _claim(claims: Claims, name: str) -> object:
    """Return a claim by its name; `a.b` is also the `b` within `a`."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _several(audience: object) -> bool:
    return isinstance(audience, list) and len(audience) > 1
