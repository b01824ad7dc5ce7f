"""The certificate of the clients' ports, renewed while they serve."""

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""Between looks at the files."""


class CertificateError(Exception):
    """The files are of no use; the text says why."""


class Certificate:
    """A certificate and its key, PEM files, and the TLS context that shows them.

    When the files change the context takes what they hold then: connections made after that are shown it, the others
    go on. Files that do not fit are left alone, with a line in the log, until they change again.
    """

    def __init__(self, certificate: str, key: str, look_seconds: float = LOOK_SECONDS) -> None:
        """Load the files. Raises CertificateError."""
        self._files = Path(certificate), Path(key)
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()
        self._seen = self._state()
        self.expires = self._probe()
        """When it expires, seconds since 1970."""
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._load(self.context)
        self._warn_if_expired()

    def watch(self) -> None:
        """Look at the files from now on, until `close`."""
        self._task = asyncio.create_task(self._watch())

    def look(self) -> None:
        """Look at the files at once."""
        self._wanted.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._wanted.wait()
            self._wanted.clear()
            state = await asyncio.to_thread(self._state)
            if state == self._seen:
                continue
            self._seen = state
            try:
                expires = await asyncio.to_thread(self._probe)
                self._load(self.context)
            except CertificateError as error:
                log.error("certificate not renewed", reason=str(error))
                continue
            self.expires = expires
            log.info("certificate renewed", expires=datetime.fromtimestamp(expires, UTC).isoformat())
            self._warn_if_expired()

    def _state(self) -> list[tuple[int, int, int] | None]:
        """Return what changes with the files; None for one that cannot be looked at."""
        found: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                stat = file.stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return found

    def _probe(self) -> float:
        """Return when the certificate of the files expires. Raises CertificateError where they do not fit."""
        # A context that refuses a key has taken the certificate before it all the same: never the one in use.
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        try:
            chain = x509.load_pem_x509_certificates(self._files[0].read_bytes())
        except (OSError, ValueError) as error:
            raise CertificateError(f"certificate = {str(self._files[0])!r}: {error}") from error
        return chain[0].not_valid_after_utc.timestamp()

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._files
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

    def _warn_if_expired(self) -> None:
        if self.expires < datetime.now(UTC).timestamp():
            log.warning("the certificate has expired", certificate=str(self._files[0]))


def _no_password() -> str:
    """Without this OpenSSL would ask for one on the terminal, if there is one, and wait."""
    return ""
