"""TLS with the processes and services of a cluster: contexts from the settings, and errors in plain words."""

import ssl
from collections.abc import Iterable

from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import ValidationError

from fsharechat.settings_types import SYSTEM, RpcTls, ServiceTls, certificates, good_until

_CERTIFICATE_FAULTS = {
    9: "its certificate is not valid yet",
    10: "its certificate has expired",
    18: "its certificate is not signed by our ca",
    19: "its certificate is not signed by our ca",
    20: "its certificate is not signed by our ca",
    21: "its certificate is not signed by our ca",
    26: "its certificate is not made for this purpose",
}
"""Texts by OpenSSL's codes X509_V_ERR_…"""
_NO_TLS = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "HTTP_REQUEST",
        "UNKNOWN_PROTOCOL",
        "UNEXPECTED_MESSAGE",
    }
)
_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept our certificate, or misses one",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it finds our certificate expired",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it finds our certificate made for another purpose",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of ours",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate",
}


class TlsError(Exception):
    """The files of a section `tls` cannot be used. The text says why."""


def client_context(tls: ServiceTls) -> ssl.SSLContext:
    """Return the context for the connecting side. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = tls.verify_host
    _load(context, tls)
    return context


def rpc_contexts(tls: RpcTls) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the contexts for the calling and the answering side. Both show a certificate. Raises TlsError."""
    caller = client_context(tls)
    callee = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    callee.verify_mode = ssl.CERT_REQUIRED
    callee.num_tickets = 0  # connections are long: there is nothing to resume
    _load(callee, tls)
    for context in (caller, callee):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    return caller, callee


def check(tls: ServiceTls) -> None:
    """Check the present files. Raises TlsError if they cannot be used."""
    try:
        type(tls).model_validate(tls.model_dump())
    except ValidationError as error:
        first = error.errors()[0]
        fault = first["msg"].removeprefix("Value error, ")
        raise TlsError(f"{'.'.join(map(str, first['loc']))}: {fault}") from error
    client_context(tls)


def renew(contexts: Iterable[ssl.SSLContext], tls: ServiceTls) -> float | None:
    """Load the present files into contexts. Return when the certificate expires, None if there is none.

    This counts for later handshakes. Authorities are added: a context goes on trusting the old ones. Raises TlsError,
    and then leaves the contexts unchanged.
    """
    check(tls)  # a context that refuses a key has already taken the certificate
    for context in contexts:
        _load(context, tls)
    return good_until(tls.certificate).timestamp() if tls.certificate else None


def prove(tls: RpcTls, *, listens: bool) -> None:
    """Test with a connection to itself that others will accept our certificate. Raises TlsError with the reason.

    `listens`: also test the answering side.
    """
    caller, callee = rpc_contexts(tls)
    for shows, looks in ((caller, callee), *([(callee, caller)] if listens else [])):
        looks.check_hostname = False
        shows.check_hostname = False
        shows.verify_mode = ssl.CERT_NONE
        try:
            _shake_hands(caller, callee)
        except ssl.SSLError as error:
            fault = why(error).replace("its certificate", f"certificate = {tls.certificate!r}")
            raise TlsError(fault.replace("our ca", f"ca = {tls.ca!r}")) from error
        finally:
            shows.verify_mode = ssl.CERT_REQUIRED


def own_certificate(tls: ServiceTls) -> bytes:
    """Return our own certificate (DER). Raises TlsError."""
    try:
        return certificates(tls.certificate)[0].public_bytes(Encoding.DER)
    except ValueError as error:
        raise TlsError(f"certificate = {tls.certificate!r}: {error}") from error


def why(error: BaseException) -> str:
    """Return in plain words why a connection failed. "It" is the other side. No file and no secret is named."""
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _CERTIFICATE_FAULTS.get(error.verify_code)
        return fault or f"its certificate is refused: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _NO_TLS:
            return "it speaks no TLS"
        if isinstance(error, ssl.SSLEOFError) or "EOF" in reason:
            return "it hung up in the TLS handshake: does it speak TLS?"
        return _ALERTS.get(reason, f"TLS fails: {reason.replace('_', ' ').lower() or error}")
    return str(error)


def _load(context: ssl.SSLContext, tls: ServiceTls) -> None:
    try:
        if tls.ca == SYSTEM:
            context.load_default_certs()
        else:
            context.load_verify_locations(tls.ca)
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # ssl.SSLError is one; the files may have changed since the settings were read
        raise TlsError(f"certificate, key and ca: {error}") from error


def _shake_hands(caller: ssl.SSLContext, callee: ssl.SSLContext) -> None:
    """Do a TLS handshake between two contexts. Raises ssl.SSLError."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [caller.wrap_bio(back, there), callee.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue
