"""User tokens: the proof that this server let a device in (docs/decisions/tokens.md).

A token is base64 of issue time (8 bytes, ms), 16 random bytes, and the HMAC-SHA256 over uid, client id and those two.

Devices of imported sessions still have the token of the original: base64 of DES-CBC, by a key that is public, of
`testim|<ms>|<uid>`. It proves nothing. What proves such a device is that its CONNECT is encrypted with its secret.
"""

import base64
import hmac
import secrets
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

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


_DES_KEY = b"abcdefgh" * 3  # three times the same key is single DES
_DES_IV = bytes(range(1, 9))


def is_of_original(token: bytes, uid: str) -> bool:
    """Return whether a raw token is one that the original gave to a user, at any time."""
    if not token or len(token) % 8:
        return False
    decryptor = Cipher(TripleDES(_DES_KEY), modes.CBC(_DES_IV)).decryptor()
    unpadder = PKCS7(64).unpadder()
    try:
        padded = decryptor.update(token) + decryptor.finalize()
        text = (unpadder.update(padded) + unpadder.finalize()).decode("ascii")
    except ValueError:
        return False
    kind, _, rest = text.partition("|")
    issued, _, owner = rest.partition("|")
    return kind == "testim" and issued.isdecimal() and owner == uid


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
