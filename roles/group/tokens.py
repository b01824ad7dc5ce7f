"""User tokens: the proof that this server let a device in (docs/decisions/tokens.md).

A token is base64 of issue time (8 bytes, ms), 16 random bytes, and the HMAC-SHA256 over uid, client id and those two.
"""

import base64
import hmac
import secrets
from hashlib import sha256
from typing import NamedTuple

_RANDOM = 16
_HEADER = 8 + _RANDOM
_SIZE = _HEADER + sha256().digest_size


class TokenSigner:
    """Signs with the key that all group processes share."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, uid: str, client_id: str, now: int) -> str:
        """Return a new token for a device."""
        header = now.to_bytes(8, "big") + secrets.token_bytes(_RANDOM)
        return base64.b64encode(header + self._sign(uid, client_id, header)).decode()

    def issued_at(self, token: bytes, uid: str, client_id: str) -> int | None:
        """Return the issue time (ms) of a raw token, None if it is not one of ours for this device."""
        if len(token) != _SIZE:
            return None
        header = token[:_HEADER]
        if not hmac.compare_digest(token[_HEADER:], self._sign(uid, client_id, header)):
            return None
        return int.from_bytes(header[:8], "big")

    def digest(self, purpose: str, text: str) -> bytes:
        """Return a keyed digest of a short secret, such as a login code. So the store need not hold the secret."""
        return hmac.digest(self._key, _frame(purpose, text), sha256)

    def _sign(self, uid: str, client_id: str, header: bytes) -> bytes:
        return hmac.digest(self._key, _frame("user_token", uid, client_id) + header, sha256)


def _frame(*texts: str) -> bytes:
    """Join texts so that different lists always give different bytes."""
    return b"".join(len(raw).to_bytes(4, "big") + raw for raw in (text.encode() for text in texts))


class NewSecrets(NamedTuple):
    """The two secrets of a session (contract.md section 3): ASCII, no `|`, at least 16 characters."""

    secret: str
    db_secret: str

    @classmethod
    def make(cls) -> "NewSecrets":
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24))
