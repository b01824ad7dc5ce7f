"""Certificates and keys out of Java's keystores, as PEM.

A keystore is PKCS#12, which `cryptography` reads, or JKS, which newer Java writes no more. Nobody maintains pyjks,
the library for JKS, any more. The form is short and will not change, so it is read here. The key in it is encrypted
with a stream of SHA-1 (sun.security.provider.KeyProtector).
"""

import hmac
import os
from collections.abc import Sequence
from hashlib import sha1
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    pkcs12,
)

_JKS = bytes.fromhex("FEEDFEED")
_JCEKS = bytes.fromhex("CECECECE")
_KEY_ENTRY, _CERTIFICATE_ENTRY = 1, 2
_PROTECTED_BY_JKS = bytes.fromhex("060a2b060104012a02110101")
"""The object identifier 1.3.6.1.4.1.42.2.17.1.1, in DER."""
_SALT = _CHECK = 20
_WHITENER = b"Mighty Aphrodite"
"""Java mixes it into the digest of a keystore."""

_MAX_BYTES = 16 << 20
_MAX_CHAIN = 100


class KeystoreError(ValueError):
    """A keystore cannot be used; the text says why, and shows no password."""


class PemPair(NamedTuple):
    """A certificate chain, that of the server first, and its private key, both PEM."""

    certificates: bytes
    key: bytes


def read(path: Path, password: str) -> PemPair:
    """Return what a keystore holds. Raises KeystoreError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KeystoreError(f"{path} cannot be read: {error.strerror}") from None
    if data[:4] == _JKS:
        key, chain = _read_jks(path, data, password)
    elif data[:1] == b"\x30":
        key, chain = _read_pkcs12(path, data, password)
    elif data[:4] == _JCEKS:
        raise KeystoreError(
            f"{path} is of the kind JCEKS: keytool -importkeystore -srckeystore {path} -srcstoretype JCEKS "
            "-destkeystore NAME.p12 -deststoretype PKCS12 makes one that can be read"
        )
    else:
        raise KeystoreError(f"{path} is not a keystore of Java")
    try:
        private = load_der_private_key(key, None)
        certificates = [x509.load_der_x509_certificate(one) for one in chain]
    except ValueError as error:
        raise KeystoreError(f"{path}: {error}") from None
    if not certificates or certificates[0].public_key() != private.public_key():
        raise KeystoreError(f"{path} has no certificate of its key")
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PemPair(b"".join(one.public_bytes(Encoding.PEM) for one in certificates), pem)


def write(folder: Path, name: str, pair: PemPair) -> tuple[Path, Path]:
    """Write NAME.pem and NAME-key.pem, and return their paths; the key is for this user alone. Raises OSError.

    Files that say something else already are left as they are: FileExistsError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = (folder / f"{name}.pem").absolute(), (folder / f"{name}-key.pem").absolute()
    for path, text, mode in zip(paths, (pair.certificates, pair.key), (0o644, 0o600), strict=True):
        if path.exists() and path.read_bytes() == text:
            continue
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(text)
    return paths


def _read_pkcs12(path: Path, data: bytes, password: str) -> tuple[bytes, Sequence[bytes]]:
    try:
        found = pkcs12.load_pkcs12(data, password.encode() or None)
    except ValueError:
        raise KeystoreError(f"{path}: the password is wrong, or it is not a keystore") from None
    if found.key is None or found.cert is None:
        raise KeystoreError(f"{path} has no key with a certificate")
    chain = [found.cert.certificate]
    others = [other.certificate for other in found.additional_certs]
    while above := [other for other in others if other.subject == chain[-1].issuer and other not in chain]:
        chain.append(above[0])
    key = found.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return key, [one.public_bytes(Encoding.DER) for one in chain]


def _read_jks(path: Path, data: bytes, password: str) -> tuple[bytes, Sequence[bytes]]:
    secret = password.encode("utf-16-be")
    content, digest = data[:-20], data[-20:]
    if not hmac.compare_digest(sha1(secret + _WHITENER + content).digest(), digest):
        raise KeystoreError(f"{path}: the password is wrong, or the file is not whole")
    stream = BytesIO(content)
    stream.seek(4)
    version, count = _number(stream, 4), _number(stream, 4)
    for _ in range(count):
        tag = _number(stream, 4)
        _bytes(stream, 2)  # its alias
        _number(stream, 8)  # when it was made
        key = _bytes(stream, 4) if tag == _KEY_ENTRY else b""
        chain: list[bytes] = []
        for _ in range(min(_number(stream, 4), _MAX_CHAIN) if tag == _KEY_ENTRY else 1):
            if version == 2:
                _bytes(stream, 2)  # X.509
            chain.append(_bytes(stream, 4))
        if tag == _KEY_ENTRY:
            return _decrypted(path, key, secret), chain
        if tag != _CERTIFICATE_ENTRY:
            break
    raise KeystoreError(f"{path} has no private key")


def _number(stream: BytesIO, size: int) -> int:
    return int.from_bytes(stream.read(size), "big")


def _bytes(stream: BytesIO, size: int) -> bytes:
    return stream.read(min(_number(stream, size), _MAX_BYTES))


def _decrypted(path: Path, protected: bytes, secret: bytes) -> bytes:
    """Return the PKCS#8 of a key that is protected with the password of its keystore."""
    at = protected.find(_PROTECTED_BY_JKS)
    _, outer = _der(protected, 0)
    if at < 0 or outer != len(protected):
        raise KeystoreError(f"{path}: its key is protected in an unknown way")
    _, behind = _der(protected, _der(protected, 0)[0])
    begin, end = _der(protected, behind)
    salt, data, check = (
        protected[begin : begin + _SALT],
        protected[begin + _SALT : end - _CHECK],
        protected[end - _CHECK : end],
    )
    stream = bytearray()
    block = salt
    while len(stream) < len(data):
        block = sha1(secret + block).digest()
        stream += block
    plain = bytes(one ^ other for one, other in zip(data, stream, strict=False))
    if not hmac.compare_digest(sha1(secret + plain).digest(), check):
        raise KeystoreError(f"{path}: its key has another password than the keystore")
    return plain


def _der(data: bytes, at: int) -> tuple[int, int]:
    """Return where the content of a DER value begins and ends."""
    first = data[at + 1] if at + 1 < len(data) else 0
    if first < 0x80:
        return at + 2, at + 2 + first
    size = first & 0x7F
    begin = at + 2 + size
    return begin, begin + int.from_bytes(data[at + 2 : begin], "big")
