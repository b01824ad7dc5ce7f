"""Java's keystores become PEM files. The ones here are written as keytool writes them."""

import datetime
import struct
from hashlib import sha1
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.moving.keystores import KeystoreError, read, write

PASSWORD = "secret 飞"
KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: str = "") -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(named(issuer or name), named(name), key.public_key(), 1)
    return builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(1)).sign(KEY, SHA256())


CHAIN = [certificate("chat.example", KEY, "an authority"), certificate("an authority", KEY)]


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def protected(key: bytes, password: str) -> bytes:
    """Return a key as sun.security.provider.KeyProtector protects it."""
    secret, salt = password.encode("utf-16-be"), bytes(range(20))
    block, stream = salt, b""
    while len(stream) < len(key):
        block = sha1(secret + block).digest()
        stream += block
    hidden = bytes(a ^ b for a, b in zip(key, stream, strict=False))
    algorithm = der(0x30, bytes.fromhex("060a2b060104012a02110101") + b"\x05\x00")
    return der(0x30, algorithm + der(0x04, salt + hidden + sha1(secret + key).digest()))


def jks(chain: list[x509.Certificate], password: str, key_password: str = "", version: int = 2) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    def of(one: x509.Certificate) -> bytes:
        data = one.public_bytes(Encoding.DER)
        return (text("X.509") if version == 2 else b"") + struct.pack(">I", len(data)) + data

    plain = KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    key = protected(plain, key_password or password)
    body = struct.pack(">III", 0xFEEDFEED, version, 2)
    body += struct.pack(">I", 2) + text("root") + bytes(8) + of(chain[-1])
    body += struct.pack(">I", 1) + text("chat") + bytes(8) + struct.pack(">I", len(key)) + key
    body += struct.pack(">I", len(chain)) + b"".join(map(of, chain))
    return body + sha1(password.encode("utf-16-be") + b"Mighty Aphrodite" + body).digest()


def p12(password: str) -> bytes:
    encryption = BestAvailableEncryption(password.encode())
    return pkcs12.serialize_key_and_certificates(b"chat", KEY, CHAIN[0], CHAIN[1:], encryption)


@pytest.mark.parametrize(
    "data", [jks(CHAIN, PASSWORD), jks(CHAIN, PASSWORD, version=1), p12(PASSWORD)], ids=["2", "1", "12"]
)
def test_a_keystore_gives_its_key_and_the_chain_of_its_certificate(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "chat.jks"
    path.write_bytes(data)
    pair = read(path, PASSWORD)
    assert x509.load_pem_x509_certificates(pair.certificates) == CHAIN
    assert load_pem_private_key(pair.key, None).public_key() == KEY.public_key()
    with pytest.raises(KeystoreError, match="the password is wrong") as refused:
        read(path, "wrong")
    assert "wrong" in str(refused.value)
    assert PASSWORD not in str(refused.value)


def test_what_cannot_be_read_says_what_would_be_right(tmp_path: Path) -> None:
    for name, data, said in (
        ("none", b"", "is not a keystore"),
        ("jceks", bytes.fromhex("CECECECE"), "keytool -importkeystore"),
        ("other", jks(CHAIN, PASSWORD, key_password="x"), "another password than the keystore"),
        ("torn", jks(CHAIN, PASSWORD)[:-30], "is not whole"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(KeystoreError, match=said):
            read(path, PASSWORD)
    with pytest.raises(KeystoreError, match="cannot be read"):
        read(tmp_path / "missing", PASSWORD)


@given(st.binary(max_size=400))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "any"
    content = bytes.fromhex("FEEDFEED") + body
    digest = sha1(PASSWORD.encode("utf-16-be") + b"Mighty Aphrodite" + content).digest()
    for data in (content + digest, b"\x30" + body):
        path.write_bytes(data)
        with pytest.raises(KeystoreError):
            read(path, PASSWORD)


def test_the_key_is_for_its_user_alone_and_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "chat.jks"
    path.write_bytes(p12(PASSWORD))
    pair = read(path, PASSWORD)
    certificates, key = write(tmp_path / "tls", "connector", pair)
    assert key.stat().st_mode & 0o777 == 0o600
    assert write(tmp_path / "tls", "connector", pair) == (certificates, key)
    certificates.write_bytes(b"something else")
    with pytest.raises(FileExistsError):
        write(tmp_path / "tls", "connector", pair)
