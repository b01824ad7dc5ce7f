"""Urls of services that run on several hosts, `scheme://user:password@a:1,b:2,c/path`, and addresses of servers."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


class UrlError(ValueError):
    """The url is not of the right kind. The text says what is wrong, and shows no password."""


@dataclass(frozen=True)
class ServiceUrl:
    scheme: str
    hosts: tuple[tuple[str, int], ...]
    user: str = ""
    password: str = field(default="", repr=False)
    path: str = ""

    @property
    def addresses(self) -> str:
        """Return "a:1,b:2", the form that many client libraries take."""
        return ",".join(f"{host}:{port}" for host, port in self.hosts)


@dataclass(frozen=True)
class AddressForm:
    """How clients write the address of a server. Without `schemes` it is host:port."""

    schemes: tuple[str, ...]
    example: str

    def check(self, text: str) -> str:
        """Return an address as it was given. Raises UrlError if it is of another form."""
        scheme, _, rest = text.partition("://") if self.schemes else ("", "", text)
        try:
            parts = urlsplit(f"//{rest}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        fits = scheme.lower() in self.schemes if self.schemes else port is not None and parts.netloc == rest
        if not fits or not host or any(sign.isspace() for sign in text):
            forms = " or ".join(f"{scheme}://host:port" for scheme in self.schemes) or "host:port"
            raise UrlError(f"{text!r}: must be {forms}, such as {self.example}")
        return text


HTTP = AddressForm(("http", "https"), "http://127.0.0.1:8081")
WEBSOCKET = AddressForm(("ws", "wss"), "ws://127.0.0.1:9326")
TCP = AddressForm((), "127.0.0.1:6789")


def parse(url: str, scheme: str, default_port: int) -> ServiceUrl:
    """Return the parts of a url. A host without a port gets `default_port`. Raises UrlError."""
    head, separator, rest = url.partition("://")
    if not separator or head != scheme:
        raise UrlError(f"must be {scheme}://host:{default_port}")
    place, slash, path = rest.partition("/")
    login, at, hosts = place.rpartition("@")
    user, _, password = login.partition(":") if at else ("", "", "")
    return ServiceUrl(
        scheme,
        tuple(host_and_port(name, default_port) for name in hosts.split(",")),
        unquote(user),
        unquote(password),
        unquote(path) if slash else "",
    )


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def joined(host: str, port: int) -> str:
    """Return `host:port`, from which `host_and_port` makes its parts again."""
    return f"{bracketed(host)}:{port}"


def host_and_port(text: str, default_port: int) -> tuple[str, int]:
    """Return the parts of `host`, `host:port` or `[address]:port`. Raises UrlError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.path or parts.query:
        raise UrlError(f"{text!r} is not a host or host:port")
    return host, default_port if port is None else port
