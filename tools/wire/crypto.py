"""The client's part of the login and of CONNECT (contract.md sections 3 and 4)."""

import base64
import time
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

DEFAULT_KEY = bytes.fromhex("00112233445566777879 7A7B7C7D7E7F")
_EPOCH = 1514736000


class Token(NamedTuple):
    """The parts of a login's `token`."""

    stamp: bytes
    user_token: str
    secret: str
    db_secret: str


def hours() -> int:
    """Return the hours for a stamp made now."""
    return (int(time.time()) - _EPOCH) // 3600


def open_token(token: str) -> Token:
    """Return the parts of a login token. Raises ValueError if it is none."""
    plain = _decrypt(DEFAULT_KEY, base64.b64decode(token, validate=True))
    user_token, secret, db_secret = plain[4:].decode("ascii").split("|")
    return Token(plain[:4], user_token, secret, db_secret)


def password(user_token: str, secret: str, at: int | None = None) -> str:
    """Return the password of a CONNECT, stamped with some hours (now)."""
    stamp = ((hours() if at is None else at) & 0xFFFFFF).to_bytes(4, "little")
    key = bytes(ord(character) & 0xFF for character in secret[:16])
    padder = PKCS7(128).padder()
    padded = padder.update(stamp + base64.b64decode(user_token)) + padder.finalize()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key)).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def _decrypt(key: bytes, data: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key)).decryptor()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(decryptor.update(data) + decryptor.finalize()) + unpadder.finalize()
