"""The certificate of the clients' ports, renewed while they serve."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

from fsharechat.renewal import LOOK_SECONDS, Renewal
from fsharechat.tls import TlsError

log = structlog.get_logger(__name__)


class CertificateError(TlsError):
    """The files cannot be used; the text says why."""


class Certificate(Renewal):
    """A certificate and its key, two PEM files, and the TLS context that uses them.

    When the files change, the context loads them again. New connections get the new certificate; old ones go on.
    """

    def __init__(self, certificate: str, key: str, look_seconds: float = LOOK_SECONDS) -> None:
        """Load the files. Raises CertificateError."""
        super().__init__("connector.tls", (certificate, key), self._take, look_seconds)
        self._pair = Path(certificate), Path(key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.expires = self._take()
        """When it expires, seconds since 1970."""

    def _take(self) -> float:
        expires = self._probe()
        self._load(self.context)
        self.expires = expires
        if expires < datetime.now(UTC).timestamp():
            log.warning("the certificate has expired", certificate=str(self._pair[0]))
        return expires

    def _probe(self) -> float:
        """Return when the certificate expires. Raises CertificateError if certificate and key do not fit."""
        # A context that refuses a key has already taken the certificate. So never try this on the context in use.
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        try:
            chain = x509.load_pem_x509_certificates(self._pair[0].read_bytes())
        except (OSError, ValueError) as error:
            raise CertificateError(f"certificate = {str(self._pair[0])!r}: {error}") from error
        return chain[0].not_valid_after_utc.timestamp()

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._pair
        for name, file in (("certificate", certificate), ("key", key)):
            try:
                file.open("rb").close()
            except OSError as error:
                raise CertificateError(f"{name} = {str(file)!r}: {error.strerror}") from error
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except ssl.SSLError as error:
            reason = (error.reason or "").replace(
                "_", " "
            ).lower() or "no PEM files, or the key has a password"
            names = f"certificate = {str(certificate)!r}, key = {str(key)!r}"
            raise CertificateError(f"{names}: {reason}") from error
        except OSError as error:
            raise CertificateError(f"certificate = {str(certificate)!r}: {error.strerror}") from error


def _no_password() -> str:
    """Without this, OpenSSL would ask for a password on the terminal, and wait."""
    return ""
