"""The certificate of the clients' ports follows its files while the ports serve."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from roles.connector.certificate import Certificate, CertificateError
from tools.services.certificates import Authority
from tools.testing.logs import until_logged
from tools.wire.port import StreamPort


def write(folder: Path, name: str, days: int = 30) -> tuple[str, str]:
    """Make a certificate of that name, and put it and its key into the files, each at one stroke."""
    made = Authority(folder / "authority").issue(name, days=days)
    files = folder / "certificate.pem", folder / "key.pem"
    for new, file in zip(made, files, strict=True):
        new.replace(file)
    return str(files[0]), str(files[1])


def hide_key(folder: Path) -> None:
    """Give the key a password."""
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    hidden = serialization.BestAvailableEncryption(b"secret")
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    (folder / "key.pem").write_bytes(pem)


@asynccontextmanager
async def serving(certificate: Certificate) -> AsyncIterator[int]:
    """A server that shows the certificate, and its port."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None: ...

    certificate.watch()
    async with StreamPort(hang_up, certificate.context) as port:
        yield port.number
    await certificate.close()


async def shown(port: int) -> str:
    """The name in the certificate that a new connection is shown."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    subject = x509.load_pem_x509_certificate(pem.encode()).subject
    return str(subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)


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
            refused, *_ = await until_logged(logs, "certificate not renewed")
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
        (hide_key, r"the key has a password"),
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
