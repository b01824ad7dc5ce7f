"""The sections `tls`: what stops the start, and what it is told of."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from fsharechat.settings import SettingsError, load
from tools.services.certificates import Authority, Pair


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> Pair:
    return authority.issue("process")


def problem(section: str, **keys: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(
            None, {}, {f"FSHARECHAT_{section}__TLS__{key.upper()}": str(value) for key, value in keys.items()}
        )
    (text,) = caught.value.problems
    return text


def test_files_that_fit(authority: Authority, pair: Pair) -> None:
    files = {"certificate": pair.certificate, "key": pair.key, "ca": authority.certificate}
    settings = load(
        None, {}, {f"FSHARECHAT_RPC__TLS__{key.upper()}": str(file) for key, file in files.items()}
    )
    assert settings.rpc.tls.on
    assert not settings.rpc.tls.verify_host


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    text = problem("RPC", ca=tmp_path / "none.pem")
    assert text.startswith(
        f"[rpc.tls] ca = '{tmp_path / 'none.pem'}': must be the path of a PEM file; there is no"
    )


def test_a_file_of_another_kind(pair: Pair) -> None:
    assert "must be the path of a PEM file with a certificate" in problem("RPC", ca=pair.key)
    assert "must be the path of a PEM file with a private key" in problem("CONNECTOR", key=pair.certificate)


def test_a_key_of_another_certificate(authority: Authority, pair: Pair) -> None:
    other = authority.issue("other")
    text = problem("CONNECTOR", certificate=pair.certificate, key=other.key)
    assert text.startswith(f"[connector.tls] key = '{other.key}': must be the key of the certificate")


def test_a_key_with_a_password(tmp_path: Path, pair: Pair) -> None:
    key = load_pem_private_key(pair.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"a password"))
    )
    assert "must be a key without a password" in problem("RPC", key=locked)


def test_rpc_wants_all_three(authority: Authority, pair: Pair) -> None:
    together = "[rpc.tls]: certificate, key and ca must be set together, or none of them"
    assert problem("RPC", ca=authority.certificate).startswith(together)
    assert "ca must be set too" in problem("RPC", certificate=pair.certificate, key=pair.key)
    system = problem("RPC", certificate=pair.certificate, key=pair.key, ca="system")
    assert "ca must be a PEM file: the authority of this cluster" in system


def test_a_switch_that_is_none() -> None:
    assert "verify_host = 'perhaps': must be true or false" in problem("RPC", verify_host="perhaps")
