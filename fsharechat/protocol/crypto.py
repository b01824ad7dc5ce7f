"""The AES layer of login tokens and CONNECT passwords (contract.md sections 3 and 4).

AES-128-CBC with PKCS#7 padding and IV = key, as deployed clients use it. It is kept for them and protects nothing:
TLS protects the wire, and the HMAC inside the user token proves the session. The stamp in front comes from the clock
of its writer, so it is dropped. The time inside the user token tells how old a login is.
"""

import base64
import binascii
import json
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

DEFAULT_KEY = bytes.fromhex("00112233445566777879 7A7B7C7D7E7F")
STAMP_EPOCH = 1514736000
STAMP_SIZE = 4


class CryptoError(ValueError):
    """The text cannot be decrypted with the key."""


def key_of(secret: str) -> bytes:
    """Return the AES key of a session secret: the low byte of each of its first 16 characters."""
    if len(secret) < 16:
        raise CryptoError("a secret has at least 16 characters")
    return bytes(ord(character) & 0xFF for character in secret[:16])


def encrypt(key: bytes, plaintext: bytes) -> bytes:
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key)).encryptor()
    return encryptor.update(padder.update(plaintext) + padder.finalize()) + encryptor.finalize()


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
    """Return the plaintext. Raises CryptoError when the length or the padding is wrong."""
    if not ciphertext or len(ciphertext) % 16:
        raise CryptoError("the ciphertext is not a whole number of blocks")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(key)).decryptor()
    unpadder = PKCS7(128).unpadder()
    try:
        return unpadder.update(decryptor.update(ciphertext) + decryptor.finalize()) + unpadder.finalize()
    except ValueError as error:
        raise CryptoError("wrong padding") from error


def hours_now() -> int:
    """Return the hours since the stamp's epoch."""
    return (int(time.time()) - STAMP_EPOCH) // 3600


def stamp(hours: int) -> bytes:
    """Return the 4 bytes of a stamp: little-endian, the top byte always 0."""
    return (hours & 0xFFFFFF).to_bytes(4, "little")


def encrypt_stamped(key: bytes, plaintext: bytes, hours: int | None = None) -> bytes:
    """Return `plaintext` encrypted behind a stamp of `hours` (now)."""
    return encrypt(key, stamp(hours_now() if hours is None else hours) + plaintext)


def decrypt_stamped(key: bytes, ciphertext: bytes) -> bytes:
    """Return the plaintext behind the stamp, whatever the stamp says. Raises CryptoError."""
    plaintext = decrypt(key, ciphertext)
    if len(plaintext) < STAMP_SIZE:
        raise CryptoError("no stamp")
    return plaintext[STAMP_SIZE:]


def login_token(user_token: str, secret: str, db_secret: str) -> str:
    """Return the `token` of a login answer (section 3)."""
    text = f"{user_token}|{secret}|{db_secret}".encode()
    return base64.b64encode(encrypt_stamped(DEFAULT_KEY, text)).decode()


def open_login_token(token: str) -> tuple[str, str, str]:
    """Return (user_token, secret, db_secret) of a login answer, as a client reads it. Raises CryptoError."""
    parts = decrypt(DEFAULT_KEY, b64decode(token))[STAMP_SIZE:].split(b"|")
    if len(parts) != 3:
        raise CryptoError("a token has three parts")
    try:
        user_token, secret, db_secret = (part.decode("ascii") for part in parts)
    except UnicodeDecodeError as error:
        raise CryptoError("a token is ASCII") from error
    return user_token, secret, db_secret


def connect_password(user_token: str, secret: str, hours: int | None = None) -> str:
    """Return the `password` of a CONNECT (section 4)."""
    return base64.b64encode(encrypt_stamped(key_of(secret), b64decode(user_token), hours)).decode()


def open_connect_password(password: str, secret: str) -> bytes:
    """Return the raw user token of a CONNECT password. Raises CryptoError."""
    return decrypt_stamped(key_of(secret), b64decode(password))


def b64decode(text: str) -> bytes:
    """Decode base64 as clients write it: line breaks are allowed. Raises CryptoError."""
    try:
        return base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise CryptoError("not base64") from error


BOT_TOKEN = "fsbot-"
"""The beginning of every token of a bot."""


def bot_token(uid: str, client_id: str, login_token: str) -> str:
    """Return the token of a bot: one word with everything that its device needs to connect."""
    data = json.dumps([uid, client_id, login_token]).encode()
    return BOT_TOKEN + base64.urlsafe_b64encode(data).decode().rstrip("=")


def open_bot_token(token: str) -> tuple[str, str, str]:
    """Return uid, client id and login token. Raises CryptoError if the text is no token of a bot."""
    text = token.strip()
    try:
        if not text.startswith(BOT_TOKEN):
            raise ValueError
        data = text.removeprefix(BOT_TOKEN)
        uid, client_id, login_token = json.loads(base64.urlsafe_b64decode(data + "=" * (-len(data) % 4)))
        if not all(isinstance(part, str) for part in (uid, client_id, login_token)):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise CryptoError("not the token of a bot") from error
    return uid, client_id, login_token
