"""The certificate of the clients' ports follows its files while the ports serve."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from structlog.typing import EventDict

from roles.connector.certificate import Certificate, CertificateError
from tools.testing.server import BOUND


def write(folder: Path, name: str, days: int = 30, password: bytes = b"") -> tuple[str, str]:
    """Make a certificate of that name, and put it and its key into the files, each at one stroke."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=100))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    replace(folder / "key.pem", key.private_bytes(pem, serialization.PrivateFormat.PKCS8, hidden))
    replace(folder / "certificate.pem", certificate.public_bytes(pem))
    return str(folder / "certificate.pem"), str(folder / "key.pem")


def replace(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


@asynccontextmanager
async def serving(certificate: Certificate) -> AsyncIterator[int]:
    """A server that shows the certificate, and its port."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
    )
    certificate.watch()
    async with server:
        yield server.sockets[0].getsockname()[1]
    await certificate.close()


async def shown(port: int) -> str:
    """The name in the certificate that a new connection is shown."""
    trusts_all = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusts_all.check_hostname = False
    trusts_all.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusts_all)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    name = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(name[0].value)


async def until_logged(logs: list[EventDict], event: str) -> EventDict:
    async with asyncio.timeout(BOUND):
        while not (found := [line for line in logs if line["event"] == event]):
            await asyncio.sleep(0.005)
    return found[-1]


async def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    certificate = Certificate(*write(tmp_path, "old"), look_seconds=0.01)
    before = certificate.expires
    with capture_logs() as logs:
        async with serving(certificate) as port:
            assert await shown(port) == "old"
            write(tmp_path, "new", days=90)
            await until_logged(logs, "certificate renewed")
            assert await shown(port) == "new"
    assert certificate.expires - before == pytest.approx(60 * 86400, abs=60)


async def test_it_is_looked_at_when_that_is_wanted(tmp_path: Path) -> None:
    certificate = Certificate(*write(tmp_path, "old"), look_seconds=10_000)
    with capture_logs() as logs:
        async with serving(certificate) as port:
            write(tmp_path, "new")
            certificate.look()
            await until_logged(logs, "certificate renewed")
            assert await shown(port) == "new"


async def test_files_that_do_not_fit_leave_the_old_one_in_use(tmp_path: Path) -> None:
    certificate = Certificate(*write(tmp_path, "old"), look_seconds=0.01)
    with capture_logs() as logs:
        async with serving(certificate) as port:
            other = tmp_path / "other"
            other.mkdir()
            write(other, "new")
            (other / "certificate.pem").replace(tmp_path / "certificate.pem")
            refused = await until_logged(logs, "certificate not renewed")
            assert "key values mismatch" in refused["reason"]
            assert await shown(port) == "old"
            (other / "key.pem").replace(tmp_path / "key.pem")
            await until_logged(logs, "certificate renewed")
            assert await shown(port) == "new"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "key.pem").unlink(), r"key = '.*key\.pem': No such file"),
        (lambda folder: (folder / "certificate.pem").unlink(), r"certificate = '.*': No such file"),
        (lambda folder: (folder / "certificate.pem").write_text("no"), r"certificate = '.*key = "),
        (lambda folder: write(folder, "hidden", password=b"secret"), r"the key has a password"),
    ],
)
async def test_files_of_no_use_are_named(tmp_path: Path, spoil: Callable[[Path], None], says: str) -> None:
    files = write(tmp_path, "one")
    spoil(tmp_path)
    with pytest.raises(CertificateError, match=says):
        Certificate(*files)


async def test_an_expired_certificate_is_warned_of(tmp_path: Path) -> None:
    with capture_logs() as logs:
        Certificate(*write(tmp_path, "old", days=-1))
    assert [line["event"] for line in logs] == ["the certificate has expired"]
