"""The sections `tls`: the certificate to show, and the authorities to trust. All files are PEM."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate
from pydantic import AfterValidator, ValidationInfo, field_validator, model_validator

from fsharechat.settings_types import Section, existing_file

SYSTEM = "system"
"""A value of `ca`: the authorities that the operating system trusts."""


def certificates(path: str) -> list[Certificate]:
    """Return the certificates in a PEM file, at least one. Raises ValueError; its text says what would be right."""
    text = _bytes(path)
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        raise ValueError("must be the path of a PEM file with a certificate; there is none in it") from None


def good_until(path: str) -> datetime:
    """Return when the first certificate in a PEM file expires. Raises ValueError."""
    return certificates(path)[0].not_valid_after_utc


def _bytes(path: str) -> bytes:
    try:
        return Path(existing_file(path)).read_bytes()
    except OSError as error:
        raise ValueError(
            f"must be the path of a PEM file; this one cannot be read: {error.strerror}"
        ) from None


def _certificate(path: str) -> str:
    if path:
        certificates(path)
    return path


def _authority(path: str) -> str:
    return path if path == SYSTEM else _certificate(path)


class Tls(Section):
    """The certificate that this side shows, and its key."""

    certificate: Annotated[str, AfterValidator(_certificate)] = ""
    key: str = ""

    @field_validator("key")
    @classmethod
    def _belongs_to_certificate(cls, key: str, info: ValidationInfo) -> str:
        if not key:
            return key
        text = _bytes(key)
        try:
            private = load_pem_private_key(text, password=None)
        except TypeError:
            raise ValueError("must be a key without a password: the server cannot ask for one") from None
        except ValueError:
            raise ValueError(
                "must be the path of a PEM file with a private key; there is none in it"
            ) from None
        certificate = info.data.get("certificate")
        if certificate and certificates(certificate)[0].public_key() != private.public_key():
            raise ValueError(
                f"must be the key of the certificate {certificate}; it is the key of another one"
            )
        return key

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key must be set together, or neither")
        return self

    @property
    def on(self) -> bool:
        """Return whether TLS is used."""
        return bool(self.certificate)


class ServiceTls(Tls):
    """TLS with a service. If `ca` is set, the service is reached only over TLS."""

    ca: Annotated[str, AfterValidator(_authority)] = ""
    verify_host: bool = True

    @model_validator(mode="after")
    def _authority_first(self) -> Self:
        if self.certificate and not self.ca:
            raise ValueError(f'ca must be set too, for TLS: a PEM file, or "{SYSTEM}"')
        return self

    @property
    def on(self) -> bool:
        return bool(self.ca)


class RpcTls(ServiceTls):
    """TLS between the processes of a cluster. All of them show a certificate."""

    verify_host: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.ca) != bool(self.certificate):
            raise ValueError("certificate, key and ca must be set together, or none of them")
        if self.ca == SYSTEM:
            raise ValueError("ca must be a PEM file: the authority of this cluster, and of nothing else")
        return self
