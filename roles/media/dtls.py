"""DTLS as the server side, over datagrams that somebody else carries: it proves who is there and makes keys.

RFC 6347 (DTLS 1.2), RFC 8122 (the fingerprint that an offer promises), RFC 5764 (keys).
"""

import datetime
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from roles.media.srtp import PROFILES, Profile, Srtp

MTU = 1200
"""The longest datagram of a handshake, bytes. All networks carry so much."""
_DTLS_1_2 = 0xFEFD
_RECORD_HEADER = 13
_YEARS = 10
_MATERIAL = b"EXTRACTOR-dtls_srtp"
_DIGESTS: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha-256": hashes.SHA256,
    "sha-384": hashes.SHA384,
    "sha-512": hashes.SHA512,
}


class DtlsError(Exception):
    """The connection cannot be: the other side is not who the offer promised, or speaks something else."""


class Fingerprint(tuple[str, str]):
    """The name of a digest in small letters, and its value as `AB:CD:…`."""

    __slots__ = ()

    @property
    def known(self) -> bool:
        """Whether it is one of the digests that count: older ones can be forged."""
        return self[0] in _DIGESTS

    def of(self, certificate: x509.Certificate) -> bool:
        digest = _DIGESTS.get(self[0])
        return digest is not None and _hex(certificate.fingerprint(digest())) == self[1].upper()


class DtlsIdentity:
    """The certificate of this process, made anew at each start. Clients know it by its fingerprint in the answer."""

    def __init__(self, *, profiles: Sequence[Profile] = PROFILES) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "media")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(secrets.randbits(64))
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
            .sign(key, hashes.SHA256())
        )
        self.fingerprint = Fingerprint(("sha-256", _hex(certificate.fingerprint(hashes.SHA256()))))
        context = SSL.Context(SSL.DTLS_METHOD)
        context.set_min_proto_version(_DTLS_1_2)
        # Any certificate is taken here: `Dtls` compares it with the fingerprint of the offer.
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_cipher_list(b"ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES")
        context.use_certificate(certificate)
        context.use_privatekey(key)
        context.set_tlsext_use_srtp(b":".join(profile.name for profile in profiles))
        self.context = context


class Dtls:
    """One connection. `send` is called with each datagram that it wants sent.

    All methods raise DtlsError when the connection is over, or can never be. `srtp` is there after the handshake.
    """

    def __init__(
        self,
        identity: DtlsIdentity,
        expected: Sequence[Fingerprint],
        send: Callable[[bytes], None],
        *,
        as_server: bool = True,
    ) -> None:
        self.srtp: Srtp | None = None
        self._expected = expected
        self._send = send
        self._as_server = as_server
        self._connection = SSL.Connection(identity.context)
        self._connection.set_ciphertext_mtu(MTU)
        if as_server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()

    def received(self, datagram: bytes) -> None:
        """Take a datagram of the other side."""
        self._connection.bio_write(datagram)
        if self.srtp is None:
            self.step()
            return
        try:
            self._connection.recv(
                MTU
            )  # nobody speaks in there: a farewell, or a repeated end of the handshake
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            raise DtlsError("the other side has ended it") from error
        self._flush()

    def step(self) -> None:
        """Go on with the handshake as far as it goes."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
            return
        except SSL.Error as error:
            self._flush()
            raise DtlsError(f"the handshake failed: {error}") from error
        self._flush()
        self.srtp = self._keys()

    def timeout(self) -> float | None:
        """Return after how many seconds `repeat` must be called, None where nothing is waited for."""
        return None if self.srtp is not None else self._connection.DTLSv1_get_timeout()

    def repeat(self) -> None:
        """Send again what was not answered in time."""
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise DtlsError("the other side does not answer") from error
        self._flush()

    def farewell(self) -> None:
        """Tell the other side that it is over."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            return  # the handshake was not over
        self._flush()

    def _keys(self) -> Srtp:
        certificate: Any = self._connection.get_peer_certificate(as_cryptography=True)
        if certificate is None or not any(one.of(certificate) for one in self._expected):
            raise DtlsError("the certificate is not the one that the offer promised")
        name = self._connection.get_selected_srtp_profile()
        profile = next((one for one in PROFILES if one.name == name), None)
        if profile is None:
            raise DtlsError("there is no SRTP profile that both sides know")
        material = self._connection.export_keying_material(_MATERIAL, profile.material_bytes)
        return Srtp(profile, material, as_server=self._as_server)

    def _flush(self) -> None:
        written = b""
        while True:
            try:
                written += self._connection.bio_read(65536)
            except SSL.WantReadError:
                break
        for datagram in datagrams(written):
            self._send(datagram)


def datagrams(records: bytes) -> Iterator[bytes]:
    """Cut what OpenSSL has written into datagrams: whole records, as many as fit (RFC 6347 section 4.1.1)."""
    begin = at = 0
    while at + _RECORD_HEADER <= len(records):
        after = at + _RECORD_HEADER + int.from_bytes(records[at + 11 : at + 13])
        if after - begin > MTU and at > begin:
            yield records[begin:at]
            begin = at
        at = after
    if begin < len(records):
        yield records[begin:]


def _hex(digest: bytes) -> str:
    return digest.hex(":").upper()
