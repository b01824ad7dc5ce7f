"""A certificate authority for tests, and its certificates: PEM files for this machine only."""

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization

_DAY = datetime.timedelta(days=1)
_DAYS = 3650


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and keeps them and its own in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        """Make the authority: `certificate` is NAME.pem in the folder."""
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self._authority = trustme.CA(organization_name=f"fsharechat test {name}")
        folder.mkdir(parents=True, exist_ok=True)
        _write(self.certificate, self._authority.cert_pem.bytes())

    def issue(
        self, name: str, hosts: Sequence[str] = ("127.0.0.1", "localhost"), days: float = _DAYS
    ) -> Pair:
        """Write NAME.pem and NAME.key, valid for `hosts` and `days` days; with less than 0 already expired."""
        now = datetime.datetime.now(datetime.UTC)
        signed = self._authority.issue_cert(
            *hosts, common_name=name, not_before=now - _DAYS * _DAY, not_after=now + days * _DAY
        )
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        _write(pair.certificate, signed.cert_chain_pems[0].bytes())
        _write(pair.key, _as_pkcs8(signed.private_key_pem.bytes()))
        return pair


def _as_pkcs8(key: bytes) -> bytes:
    """Return a key as Java reads it."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
