"""The settings as types: every section and key, with default and bounds. settings.toml explains each.

`Settings()` is the defaults and reads nothing; `fsharechat.settings.load` reads the sources.
Times are in seconds, sizes in bytes.
"""

import hashlib
import re
from email.utils import parseaddr
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fsharechat import urls
from fsharechat.login_numbers import names_of, normal_invitee
from fsharechat.settings_hooks import BeforeSendSettings, WebhooksSettings
from fsharechat.settings_types import (
    Count,
    Host,
    Number,
    PemFile,
    Port,
    Region,
    RpcTls,
    Seconds,
    Secret,
    Section,
    ServiceTls,
    Tls,
    WebAddress,
    Whole,
    Words,
    spelled,
)
from fsharechat.urls import UrlError


class AliyunSettings(Section):
    access_key_id: str = ""
    access_key_secret: Secret = ""
    sign_name: str = ""
    template: str = ""
    abroad_template: str = ""
    variable: Annotated[str, Field(min_length=1)] = "code"
    endpoint: WebAddress = "https://dysmsapi.aliyuncs.com"


class TencentSettings(Section):
    secret_id: str = ""
    secret_key: Secret = ""
    app_id: str = ""
    sign_name: str = ""
    template: str = ""
    abroad_template: str = ""
    variables: Words = ("{code}",)
    region: Annotated[str, Field(min_length=1)] = "ap-guangzhou"
    endpoint: WebAddress = "https://sms.tencentcloudapi.com"


class SmtpSettings(Section):
    host: str = ""
    port: Annotated[Whole, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    authority: PemFile = ""
    username: str = ""
    password: Secret = ""
    sender: str = ""
    subject: str = "飞享IM 登录验证码 / FshareChat login code"
    body: str = (
        "您的登录验证码是 {code}，{minutes} 分钟内有效。请勿告诉他人；如非本人操作，请忽略此邮件。\n\n"
        "Your login code is {code}. It is good for {minutes} minutes. Tell it to nobody; "
        "if you did not ask for it, ignore this mail.\n"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.host and "@" not in parseaddr(self.sender)[1]:
            raise ValueError('sender must be an e-mail address, or "Name <address>", where host is set')
        if "{code}" not in self.body:
            raise ValueError("body must contain {code}")
        if not self.subject.isprintable():
            raise ValueError("subject must be one line")
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password must be set together, or neither")
        if self.username and self.security == "none":
            raise ValueError('username and password would travel in the clear with security = "none"')
        return self


_NEEDED = {
    "log": (),
    "aliyun": ("access_key_id", "access_key_secret", "sign_name", "template"),
    "tencent": ("secret_id", "secret_key", "app_id", "sign_name", "template"),
    "smtp": ("host",),
}


class CodesSettings(Section):
    provider: Literal["log", "aliyun", "tencent", "smtp"] = "log"
    super_code: Annotated[Secret, spelled(r"[0-9A-Za-z]{0,32}", "at most 32 letters and digits")] = ""
    lifetime_seconds: Seconds = 300
    resend_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 60
    per_day: Count = 10
    wrong_guesses: Count = 5
    send_seconds: Seconds = 8
    max_sending: Annotated[Whole, Field(ge=1, le=256)] = 32
    aliyun: AliyunSettings = AliyunSettings()
    tencent: TencentSettings = TencentSettings()
    smtp: SmtpSettings = SmtpSettings()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        section = getattr(self, self.provider, None)
        if missing := [key for key in _NEEDED[self.provider] if not getattr(section, key)]:
            raise ValueError(
                f'provider = "{self.provider}" needs {", ".join(missing)} in [codes.{self.provider}]'
            )
        return self


ENV_PREFIX = "FSHARECHAT_"
DIRECTORY = "directory:///"
MAX_NODE_ID = 63
MYSQL_PORT = 3306
KAFKA_PORT = 9092
ZOOKEEPER_PORT = 2181
WILDCARDS = frozenset({"0.0.0.0", "::", "*"})
"""Addresses to listen on to which nobody can connect."""


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address to listen on."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _number_or(word: str, top: int) -> BeforeValidator:
    """Accept `word` or a whole number from 0 to `top`."""

    def check(value: object) -> object:
        if value == word:
            return value
        text = str(value).strip()
        if not isinstance(value, bool) and text.isascii() and text.isdecimal() and int(text) <= top:
            return int(text)
        raise ValueError(f'must be "{word}" or a whole number from 0 to {top}')

    return BeforeValidator(check)


def _memory_or(scheme: str, default_port: int, login: bool = False) -> AfterValidator:
    """Accept "memory" or a url of that scheme, with one host or several, and with `login` a user and password."""

    def check(value: str) -> str:
        if value != "memory":
            try:
                parsed = urls.parse(value, scheme, default_port)
            except UrlError as error:
                raise ValueError(f'{error}; or "memory", for one process') from None
            if login and bool(parsed.user) != bool(parsed.password):
                raise ValueError(f"must be {scheme}://user:password@host:{default_port}, or have neither")
            if not login and (parsed.user or parsed.password):
                raise ValueError(f"must be without user and password, {scheme}://host:{default_port}")
        return value

    return AfterValidator(check)


def _place(value: str) -> str:
    if value:
        try:
            host, _ = urls.host_and_port(value, 0)
        except UrlError as error:
            raise ValueError(f"must be host or host:port: {error}") from None
        if host in WILDCARDS:
            raise ValueError("must be an address that other processes reach")
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        try:
            ip_network(name)
        except ValueError:
            raise ValueError(f"{name!r} must be an address, or a network such as 10.0.0.0/8") from None
    return value


def _api_key(value: str) -> str:
    if value and not re.fullmatch(r"[!-~]{16,255}", value):
        raise ValueError(
            "must be at least 16 letters, digits and signs without spaces; or empty: no back office"
        )
    return value


_DIGEST = "sha256:"


def _metrics_password(value: str) -> str:
    if value.startswith(_DIGEST) and not re.fullmatch(r"[0-9a-fA-F]{64}", value.removeprefix(_DIGEST)):
        raise ValueError(f"after {_DIGEST} there must be 64 hexadecimal digits")
    if value and len(value) < 16:
        raise ValueError("must be at least 16 characters; or empty: no password")
    return value


def _folder(value: object) -> object:
    # An empty variable would put the data into whatever folder the server is started in.
    if isinstance(value, str) and not value.strip():
        raise ValueError("must be the path of a folder; it is empty")
    return value


class NodeSettings(Section):
    roles: Words = ("connector", "group", "api", "media")
    id: Annotated[int | Literal["auto"], _number_or("auto", MAX_NODE_ID)] = "auto"
    data: Annotated[Path, BeforeValidator(_folder)] = Path("./data")
    cluster_secret: Secret = ""
    drain_seconds: Annotated[Number, Field(ge=0, le=3600)] = 10
    workers: Annotated[Whole, Field(ge=0, le=MAX_NODE_ID + 1)] = 0

    @field_validator("roles")
    @classmethod
    def _each_once(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        if not roles or len(set(roles)) != len(roles):
            raise ValueError("must name at least one role, and each only once")
        return roles


class ConnectorSettings(Section):
    host: Host = "127.0.0.1"
    tcp_port: Port = 6789
    ws_port: Port = 9326
    head_check_seconds: Seconds = 15
    notify_repeat_seconds: Seconds = 5
    authenticate_seconds: Seconds = 10
    ping_grace_seconds: Seconds = 60
    web_silence_seconds: Seconds = 90
    max_body_bytes: Annotated[Whole, Field(ge=1024, le=(1 << 31) - 1)] = 1 << 20
    send_buffer_bytes: Annotated[Whole, Field(ge=65536, le=1 << 40)] = 4 << 20
    max_inflight: Count = 64
    max_connections: Count = 100_000
    max_unauthenticated: Count = 1000
    connections_per_address: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 1000
    trusted_proxies: Annotated[Words, AfterValidator(_networks)] = ("127.0.0.1", "::1")
    tail_entries: Annotated[Whole, Field(ge=0, le=1_000_000)] = 256
    tail_bytes: Annotated[Whole, Field(ge=0, le=1 << 40)] = 256 << 10
    tls: Tls = Tls()


class ApiSettings(Section):
    host: Host = "127.0.0.1"
    port: Port = 8081
    key: Annotated[Secret, AfterValidator(_api_key)] = ""
    notification_name: Annotated[str, Field(min_length=1, max_length=64)] = "系统通知"
    cors_origins: Words = ("*",)
    codes_per_address: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 30
    logins_per_address: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 60
    guesses_per_address: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 10
    address_seconds: Seconds = 600
    trusted_proxies: Annotated[Words, AfterValidator(_networks)] = ("127.0.0.1", "::1")
    max_connections: Count = 5000
    connections_per_address: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 1000
    idle_seconds: Seconds = 75
    stalled_seconds: Seconds = 120


class AdminSettings(Section):
    idle_seconds: Seconds = 1800
    session_seconds: Seconds = 43200
    audit_days: Annotated[Whole, Field(ge=0, le=36_500)] = 365


class RpcSettings(Section):
    host: Host = "127.0.0.1"
    port: Port = 0
    advertise: Annotated[str, AfterValidator(_place)] = ""
    timeout_seconds: Seconds = 10
    tls: RpcTls = RpcTls()


class StoreSettings(Section):
    url: str = "sqlite:///fsharechat.db"
    max_queue: Count = 20_000
    tls: ServiceTls = ServiceTls()

    @field_validator("url")
    @classmethod
    def _sqlite_or_mysql(cls, url: str) -> str:
        if url.startswith("mysql:"):
            try:
                parsed = urls.parse(url, "mysql", MYSQL_PORT)
            except UrlError as error:
                raise ValueError(str(error)) from None
            if not parsed.user or not parsed.path or "/" in parsed.path:
                raise ValueError("must be mysql://user:password@host/database")
            return url
        path = url.removeprefix("sqlite:///")
        if path == url or not path.strip("/") or path.endswith("/") or ":memory:" in path or "?" in path:
            raise ValueError(
                "must be sqlite:///FILE, sqlite:////FILE for an absolute path, or mysql://user:password@host/database"
            )
        return url


class BusSettings(Section):
    url: Annotated[str, _memory_or("kafka", KAFKA_PORT, login=True)] = "memory"
    sasl: Literal["scram-sha-512", "scram-sha-256", "plain"] = "scram-sha-512"
    tls: ServiceTls = ServiceTls()

    @model_validator(mode="after")
    def _password_unseen(self) -> Self:
        if self.sasl == "plain" and not self.tls.on and "@" in self.url:
            raise ValueError(
                'user and password would travel in the clear: set ca in [bus.tls], or another sasl than "plain"'
            )
        return self


class RegistrySettings(Section):
    url: Annotated[str, _memory_or("zookeeper", ZOOKEEPER_PORT)] = "memory"
    session_seconds: Annotated[Number, Field(ge=2, le=60)] = 10


_HTTP = r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"


class BlobsSettings(Section):
    url: str = "directory:///media"
    public_url: Annotated[
        str,
        spelled(rf"({_HTTP}(/[A-Za-z0-9._~/-]*)?)?", "https://host, http://host:port or such with a path"),
    ] = ""
    access_key: Secret = ""
    secret_key: Secret = ""
    region: Region = "us-east-1"
    url_seconds: Annotated[Number, Field(ge=1, le=604_800)] = 3600
    max_bytes: Annotated[Whole, Field(ge=1, le=1 << 50)] = 1 << 30
    reserve_bytes: Annotated[Whole, Field(ge=0, le=1 << 60)] = 1 << 30

    @field_validator("url")
    @classmethod
    def _directory_or_s3(cls, url: str) -> str:
        folder = url.removeprefix(DIRECTORY)
        if not re.fullmatch(_HTTP + "/?", url) and (folder == url or not folder.strip("/") or "\0" in folder):
            raise ValueError(
                f"must be {DIRECTORY}FOLDER, {DIRECTORY}/FOLDER for an absolute path, "
                "or http://host:9000 of an S3 server"
            )
        return url

    @model_validator(mode="after")
    def _s3_is_whole(self) -> Self:
        if self.in_directory:
            return self
        if not self.access_key or not self.secret_key:
            raise ValueError("access_key and secret_key must be set for an S3 server")
        if not re.fullmatch(f"({_HTTP}/?)?", self.public_url):
            raise ValueError("public_url must have no path: an S3 server is served at the root of its host")
        return self

    @property
    def in_directory(self) -> bool:
        """Whether media are kept in a folder, not by an S3 server."""
        return self.url.startswith(DIRECTORY)


class BackupSettings(Section):
    url: Annotated[str, spelled(rf"({_HTTP}/?)?", "https://host or http://host:9000, without a path")] = ""
    access_key: Secret = ""
    secret_key: Secret = ""
    region: Region = "us-east-1"


def _listened(value: str) -> str:
    host, _, port = value.rpartition(":")
    try:
        ip_address(host.strip("[]"))
        listened = port.isascii() and port.isdecimal() and int(port) <= 65535
    except ValueError:
        listened = False
    if not listened:
        raise ValueError("must be address:port, such as 0.0.0.0:20000; [address]:port for IPv6")
    return value


def _address_or_nothing(value: str) -> str:
    if value:
        try:
            if ip_address(value).is_unspecified:
                raise ValueError
        except ValueError:
            raise ValueError("must be an IP address that clients reach; or empty") from None
    return value


def _websockets(value: tuple[str, ...]) -> tuple[str, ...]:
    for url in value:
        if not re.fullmatch(r"wss?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-~]*)?", url):
            raise ValueError(f"{url!r} must be ws://host:8888/kurento, or wss://")
    return value


class MediaSettings(Section):
    backend: Literal["embedded", "kurento"] = "embedded"
    listen: Annotated[str, AfterValidator(_listened)] = "127.0.0.1:20000"
    public_address: Annotated[str, AfterValidator(_address_or_nothing)] = ""
    max_kbps: Annotated[Whole, Field(ge=100, le=20_000)] = 2000
    min_kbps: Annotated[Whole, Field(ge=30, le=20_000)] = 200
    room_limit: Annotated[Whole, Field(ge=2, le=100)] = 16
    worker_mbps: Annotated[Whole, Field(ge=1, le=100_000)] = 400
    kurento: Annotated[Words, AfterValidator(_websockets)] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.backend == "kurento" and not self.kurento:
            raise ValueError('kurento must be set where backend is "kurento"')
        if self.min_kbps > self.max_kbps:
            raise ValueError("min_kbps must not be above max_kbps")
        return self

    @property
    def host(self) -> str:
        """The address to listen on."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The UDP port to listen on; 0: a free one."""
        return int(self.listen.rpartition(":")[2])


class LimitsSettings(Section):
    requests: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 100
    follow_ups: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 5000
    seconds: Seconds = 5
    group_members: Annotated[Whole, Field(ge=2, le=100_000)] = 5000
    uploads_per_day: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 2000
    upload_bytes_per_day: Annotated[Whole, Field(ge=0, le=1 << 60)] = 10 << 30
    edit_seconds: Annotated[Whole, Field(ge=0, le=1_000_000_000)] = 86_400


def _entries(value: tuple[str, ...]) -> tuple[str, ...]:
    found = []
    for one in value:
        entry = normal_invitee(one)
        if entry is None:
            raise ValueError(f"{one!r} must be a mobile number, an e-mail address, or @ and a domain")
        found.append(entry)
    return tuple(found)


Days = Annotated[Whole, Field(ge=0, le=36_500)]


class RetentionSettings(Section):
    messages_days: Days = 0
    inboxes_days: Days = 0
    media_days: Days = 0
    reports_days: Days = 0

    @property
    def on(self) -> bool:
        """Whether anything is removed."""
        return any((self.messages_days, self.inboxes_days, self.media_days, self.reports_days))


class RegistrationSettings(Section):
    mode: Literal["open", "allowed", "invited", "closed"] = "open"
    allowed: Annotated[Words, AfterValidator(_entries)] = ()

    def takes(self, number: str) -> bool:
        """Whether who logs in with a number or address, in lower case, may become a user without an invitation."""
        if self.mode == "allowed":
            return any(name in self.allowed for name in names_of(number))
        return self.mode == "open"


DAY_MS = 86_400_000


class SessionsSettings(Section):
    days: Annotated[Whole, Field(ge=0, le=36_500)] = 0

    def oldest(self, now: int) -> int:
        """Return the time (ms) of the oldest login that is still good at the time `now` (ms)."""
        return now - self.days * DAY_MS if self.days else 0


class UsersSettings(Section):
    directory: Literal["open", "exact", "friends"] = "exact"


_TURN_URL = re.compile(r"(stuns?:[^?/@\s]+|turns?:[^?/@\s]+(\?transport=(udp|tcp))?)")


class TurnSettings(Section):
    urls: Words = ()
    secret: Secret = ""
    user: str = ""
    password: Secret = ""
    ttl_seconds: Annotated[Whole, Field(ge=60, le=604_800)] = 86_400

    @field_validator("urls")
    @classmethod
    def _of_turn(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not _TURN_URL.fullmatch(url):
                raise ValueError(
                    f"{url!r} must be turn:host:port, with ?transport=tcp or not, turns: or stun:"
                )
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.secret and (self.user or self.password):
            raise ValueError("has a secret, or a user and password, but not both")
        if bool(self.user) != bool(self.password):
            raise ValueError("needs user and password, or neither")
        if any(url.startswith("turn") for url in self.urls) and not (self.secret or self.user):
            raise ValueError("urls of turn: need secret, or user and password")
        return self


def _provider_address(value: str) -> str:
    found = re.fullmatch(rf"{_HTTP}(/[A-Za-z0-9._~%!$&'()*+,;=:@/-]*)?", value)
    if value and (found is None or not _is_private(value)):
        raise ValueError("must be https://host, with a path or not; http:// only on this machine")
    return value


def _page_address(value: str) -> str:
    if value and (not re.fullmatch(_HTTP, value) or not _is_private(value)):
        raise ValueError("must be https://host or https://host:port; http:// only on this machine")
    return value


def _is_private(address: str) -> bool:
    """Return whether nobody on the way reads what goes to an address: https, or this machine."""
    return address.startswith("https:") or is_loopback(urlsplit(address).hostname or "")


def _secret_file(value: str) -> str:
    if value:
        try:
            secret = Path(value).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ValueError("must be the path of a file with the secret; this one cannot be read") from None
        if not secret or len(secret.splitlines()) > 1:
            raise ValueError("must be a file with the secret in one line")
    return value


_CLAIM = Annotated[str, Field(min_length=1, max_length=255)]


class OidcSettings(Section):
    issuer: Annotated[str, AfterValidator(_provider_address)] = ""
    client_id: Annotated[str, Field(max_length=255)] = ""
    client_secret: Secret = ""
    client_secret_file: Annotated[str, AfterValidator(_secret_file)] = ""
    public_url: Annotated[str, AfterValidator(_page_address)] = ""
    authority: PemFile = ""
    scopes: Words = ("openid", "profile", "email")
    label: Annotated[str, Field(min_length=1, max_length=64)] = "Company account"
    email_claim: _CLAIM = "email"
    number_claim: _CLAIM = "phone_number"
    name_claim: _CLAIM = "name"
    required_claim: Annotated[str, Field(max_length=255)] = ""
    required_values: Words = ()
    link: Literal["never", "verified"] = "never"
    codes: bool = True

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value or not all(re.fullmatch(r"[!#-\[\]-~]+", scope) for scope in value):
            raise ValueError('must have "openid" among its words, each without spaces')
        return value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.issuer and not (self.client_id and self.public_url):
            raise ValueError("client_id and public_url must be set where issuer is")
        if not self.codes and not self.issuer:
            raise ValueError("codes may be false only where issuer is set: else nobody could log in")
        if self.client_secret and self.client_secret_file:
            raise ValueError("has client_secret or client_secret_file, but not both")
        if bool(self.required_claim) != bool(self.required_values):
            raise ValueError("required_claim and required_values must be set together, or neither")
        return self

    @property
    def on(self) -> bool:
        """Whether people log in with accounts of a provider."""
        return bool(self.issuer)

    @property
    def alone(self) -> bool:
        """Whether no login codes are sent: these accounts are the way to log in."""
        return self.on and not self.codes

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to."""
        return f"{self.public_url}/oidc/callback"

    def secret(self) -> str:
        """Return the secret of the client, "" for a public client. The file is read anew. Raises OSError."""
        if self.client_secret_file:
            return Path(self.client_secret_file).read_text(encoding="utf-8").strip()
        return self.client_secret


def _agent_address(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", value):
        raise ValueError("must be http://host:port, https://host, or such an address with a path")
    return value


class AgentSettings(Section):
    """A robot, and the agent that answers for it."""

    uid: Annotated[str, Field(min_length=1, max_length=64), spelled(r"\S+", "a uid without spaces")]
    name: Annotated[str, Field(min_length=1, max_length=64)]
    portrait: Annotated[str, Field(max_length=1024)] = ""
    kind: Literal["stream", "ask", "openai"] = "stream"
    agent: Annotated[str, AfterValidator(_agent_address)]
    key: Annotated[
        Secret, Field(max_length=1024), spelled(r"[!-~]*", "letters, digits and signs without spaces")
    ] = ""
    model: Annotated[str, Field(max_length=256)] = ""
    system: Annotated[str, Field(max_length=8_000)] = ""
    exchanges: Annotated[Whole, Field(ge=0, le=20)] = 3

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.kind == "openai" and not self.model:
            raise ValueError('an agent of the kind "openai" needs a model')
        return self


def _connector_address(value: str) -> str:
    if not re.fullmatch(
        r"(wss?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?(/(?!/)[A-Za-z0-9._~/-]*)?", value
    ):
        raise ValueError("must be wss://host:port, ws://host:port, or a path of the same host such as /ws")
    return value


class RobotsSettings(Section):
    agents: Annotated[tuple[AgentSettings, ...], Field(max_length=100)] = ()
    seconds: Seconds = 120
    max_chars: Annotated[Whole, Field(ge=1, le=100_000)] = 20_000
    context_chars: Annotated[Whole, Field(ge=0, le=1_000_000)] = 8_000

    @field_validator("agents")
    @classmethod
    def _each_once(cls, value: tuple[AgentSettings, ...]) -> tuple[AgentSettings, ...]:
        if len({agent.uid for agent in value}) < len(value):
            raise ValueError("has two agents with one uid")
        return value


class WebSettings(Section):
    enabled: bool = True
    ws_url: Annotated[str, AfterValidator(_connector_address)] = ""


class MetricsSettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int | Literal["off"], _number_or("off", 65535)] = "off"
    user: Annotated[str, spelled("[^:]+", "a name without a colon, and not empty")] = "prometheus"
    password: Annotated[Secret, AfterValidator(_metrics_password)] = ""

    def password_digest(self) -> bytes:
        """Return the SHA-256 of the password."""
        if self.password.startswith(_DIGEST):
            return bytes.fromhex(self.password.removeprefix(_DIGEST))
        return hashlib.sha256(self.password.encode()).digest()


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class Settings(BaseSettings):
    """All settings, immutable. The constructor reads no file and no environment."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENV_PREFIX, env_nested_delimiter="__"
    )

    node: NodeSettings = NodeSettings()
    connector: ConnectorSettings = ConnectorSettings()
    api: ApiSettings = ApiSettings()
    admin: AdminSettings = AdminSettings()
    rpc: RpcSettings = RpcSettings()
    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    registry: RegistrySettings = RegistrySettings()
    codes: CodesSettings = CodesSettings()
    blobs: BlobsSettings = BlobsSettings()
    backup: BackupSettings = BackupSettings()
    media: MediaSettings = MediaSettings()
    limits: LimitsSettings = LimitsSettings()
    retention: RetentionSettings = RetentionSettings()
    registration: RegistrationSettings = RegistrationSettings()
    oidc: OidcSettings = OidcSettings()
    sessions: SessionsSettings = SessionsSettings()
    users: UsersSettings = UsersSettings()
    turn: TurnSettings = TurnSettings()
    robots: RobotsSettings = RobotsSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    before_send: BeforeSendSettings = BeforeSendSettings()
    web: WebSettings = WebSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the constructor use only its arguments: `load` reads the other sources."""
        return (init_settings,)

    @property
    def embedded(self) -> bool:
        """Whether the roles meet on this machine, not over Kafka and ZooKeeper: in one process, or with workers."""
        return self.bus.url == "memory"

    @property
    def own_roles(self) -> tuple[str, ...]:
        """The roles that this very process carries out. Workers have the connector role instead of it."""
        return tuple(role for role in self.node.roles if not (self.node.workers and role == "connector"))

    @property
    def on_sqlite(self) -> bool:
        return self.store.url.startswith("sqlite:")

    @property
    def on_this_machine(self) -> bool:
        """Whether no other machine reaches this process, or another process with its settings."""
        hosts = {self.connector.host, self.api.host, self.media.host} | (
            set() if self.embedded else {self.rpc.host}
        )
        return all(map(is_loopback, hosts))

    def data_path(self) -> Path:
        """Return the data folder as an absolute path."""
        return self.node.data.expanduser().absolute()

    def store_path(self) -> Path:
        """Return the absolute path of the SQLite file. A relative path starts at the data folder."""
        return self.data_path() / self.store.url.removeprefix("sqlite:///")

    def media_path(self) -> Path:
        """Return the absolute path of the media folder. A relative path starts at the data folder."""
        return self.data_path() / self.blobs.url.removeprefix(DIRECTORY)
