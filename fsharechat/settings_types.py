"""The types of settings, and the sections `tls`. Times are in seconds, sizes in bytes. All files are PEM."""

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _words(value: object) -> object:
    """Split `a,b`, the form of lists in flags and variables."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def spelled(pattern: str, wanted: str) -> AfterValidator:
    """Accept texts that match `pattern` from end to end. `wanted` says what would be right, after "must be"."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"must be {wanted}")
        return value

    return AfterValidator(check)


def existing_file(value: str) -> str:
    """Return the path. Raises ValueError if there is no such file."""
    if value and not Path(value).is_file():
        raise ValueError("must be the path of a PEM file; there is no such file")
    return value


def _web_address(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", value):
        raise ValueError("must be https://host or https://host:port (http:// for tests)")
    return value


Whole = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Count = Annotated[Whole, Field(ge=1, le=1_000_000_000)]
Seconds = Annotated[Number, Field(gt=0, le=31_536_000)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Host = Annotated[str, Field(min_length=1)]
Secret = Annotated[str, Field(repr=False)]
Region = Annotated[str, spelled(r"[A-Za-z0-9-]+", "letters, digits and -, such as us-east-1")]
PemFile = Annotated[str, AfterValidator(existing_file)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
