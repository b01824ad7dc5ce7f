"""`fsharechat import-config`: the application.properties of the original's three services as a settings file.

Each key becomes a setting, or has no meaning here, or is for somebody to decide; the file says which, and why.
"""

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pydantic import ValidationError

from fsharechat.moving import keystores, properties
from fsharechat.settings_schema import KAFKA_PORT, MYSQL_PORT, ZOOKEEPER_PORT, Settings
from fsharechat.urls import UrlError, host_and_port, joined

FILE = "application.properties"
SERVICES = ("push-connector", "push-group", "push-api")
MEDIA_SERVICE = "push-media"
"""The one that the original does not have."""
PUBLISHED_CODE = "66666"
"""The super code of the original's guide: everybody knows it."""

OWN = "fsharechat."
"""The beginning of keys that are settings of this server: fsharechat.SECTION.KEY."""

MAX_DEPTH = 4
"""Folders that are looked into for FILE."""

_PLACEHOLDER = re.compile(r"[{}<>]|\$\{")
_ALL = "0.0.0.0"


class ConfigError(Exception):
    """There is nothing to read."""


class GivenKey(NamedTuple):
    """A key as a file has it."""

    service: str
    file: Path
    key: str
    value: str

    @property
    def usable(self) -> bool:
        """Whether it has a value that is no placeholder of the guide."""
        return bool(self.value) and not _PLACEHOLDER.search(self.value)

    def __str__(self) -> str:
        return f"{self.key} ({self.service})"


class InstalledService(NamedTuple):
    """A service of this server's own package, which is configured by such files (service.py).

    `name` is one of SERVICES or "push-media", `secret` the [node] cluster_secret of all services beside it.
    """

    name: str
    secret: str


def convert(
    places: Sequence[Path], tls: Path, service: InstalledService | None = None
) -> tuple[str, list[str]]:
    """Return the settings file, and what is to be decided. Raises ConfigError.

    With a `service` these are the settings of that one: its own keys count more, and MySQL's database is the one that
    the files name, for there is no original that needs it.
    """
    given: list[GivenKey] = []
    for file in _files(places):
        given += _read(file)
    if service is not None:
        given.sort(key=lambda one: one.service != service.name)
    conversion = ConfigConversion(given, tls, service)
    conversion.run()
    return conversion.text(sorted({one.file for one in given})), conversion.remarks()


def _files(places: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            below = sorted(path for depth in range(MAX_DEPTH) for path in place.glob("*/" * depth + FILE))
            if not below:
                raise ConfigError(f"{place}: there is no {FILE} in it")
            found += below
        elif place.is_file():
            found.append(place)
        else:
            raise ConfigError(f"{place}: there is no such file or folder")
    return list(dict.fromkeys(found))


def _read(file: Path) -> list[GivenKey]:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")  # what Java takes it for
    values = properties.parse(text)
    service = _service(file, values)
    return [GivenKey(service, file, key, value) for key, value in values.items()]


def _service(file: Path, values: Mapping[str, str]) -> str:
    """Return which service a file is of: by its folder, or else by its keys."""
    for part in reversed(file.absolute().parts):
        for service in (*SERVICES, MEDIA_SERVICE):
            if service in part:
                return service
    heads = {key.partition(".")[0] for key in values}
    if heads & {"im", "sms", "hazelcast"}:
        return "push-group"
    return "push-connector" if heads & {"push", "node", "minio", "kurento"} else "push-api"


def _name(key: str) -> str:
    """Return a key without what Spring does not tell apart: embed_db, embed-db and embedDb are one."""
    return re.sub(r"[-_]", "", key).lower()


_MEANINGLESS = {
    "push.ssl.truststore": "clients show no certificates, so there is nobody to trust",
    "kurento.clienturl": 'calls in groups go through the media role; [media] backend = "kurento" takes them there',
    "hazelcast.members": "group processes find each other by [registry], and share no memory",
    "spring.application.name": "the program is not made with Spring",
    "spring.main.allowbeandefinitionoverriding": "the program is not made with Spring",
}


class ConfigConversion:
    """Makes settings of what is given."""

    def __init__(self, given: Sequence[GivenKey], tls: Path, service: InstalledService | None = None) -> None:
        self._service = service
        self._given: dict[str, list[GivenKey]] = {}
        for one in given:
            self._given.setdefault(_name(one.key), []).append(one)
        self._tls = tls
        self._values: dict[str, dict[str, Any]] = {}
        self._why: dict[tuple[str, str], list[str]] = {}
        self._decide: list[str] = []
        self._meaningless: list[str] = []
        self._seen: set[str] = set()

    def run(self) -> None:
        embedded = self._one("im.embeddb")
        on_mysql = embedded is None or embedded.value != "1"
        self._set("connector", "host", _ALL, ["The original listens on all addresses."])
        self._set("api", "host", _ALL, ["The original listens on all addresses."])
        self._certificate()
        self._store(on_mysql)
        self._cluster(on_mysql)
        self._media()
        self._codes()
        if (port := self._one("server.port")) is not None:
            self._take(port, "api", "port", _whole(port.value))
        self._decide.append(
            "[api] key: the back office and the open API are closed while it is empty. `openssl rand -hex 24` makes "
            "one"
        )
        self._own_settings()
        self._rest()
        self._leave_out_what_is_wrong()

    # What there is

    def _one(self, name: str) -> GivenKey | None:
        """Return the key of that name, if there is one; say so where files differ."""
        self._seen.add(name)
        found = self._given.get(name, [])
        if not found:
            return None
        usable = [one for one in found if one.usable] or found[:1]
        if len({one.value for one in usable}) > 1:
            files = ", ".join(str(one.file) for one in usable)
            self._decide.append(f"{found[0].key} differs between {files}: that of the first one is taken")
        services = ", ".join(dict.fromkeys(one.service for one in found))
        return usable[0]._replace(service=services)

    def _usable(self, name: str) -> GivenKey | None:
        found = self._one(name)
        if found is not None and not found.usable:
            what = "is a placeholder" if found.value else "is empty"
            self._meaningless.append(f"{found}: it {what}.")
            return None
        return found

    def _set(self, section: str, key: str, value: object, why: Iterable[str]) -> None:
        self._values.setdefault(section, {})[key] = value
        self._why[section, key] = list(why)

    def _take(self, given: GivenKey, section: str, key: str, value: object, how: str = "") -> None:
        self._set(section, key, value, [f"{given}: taken{f', {how}' if how else ''}."])

    def _drop(self, given: GivenKey | None, why: str) -> None:
        if given is not None:
            self._meaningless.append(f"{given}: {why}.")

    # One thing after the other

    def _certificate(self) -> None:
        store, password = self._usable("push.ssl.keystore"), self._one("push.ssl.password")
        if store is None:
            self._drop(password, "there is no keystore")
            self._decide.append(
                "[connector.tls]: the original had no certificate in its settings, so messages go in the clear "
                "where no proxy does TLS"
            )
            return
        path = Path(store.value)
        if not path.is_file():
            path = store.file.parent / path.name  # the files were copied from where they stood
        try:
            pair = keystores.read(path, password.value if password else "")
            certificate, key = keystores.write(self._tls, "connector", pair)
        except keystores.KeystoreError as error:
            self._decide.append(f"[connector.tls]: {error}")
            self._meaningless.append(f"{store}: not taken, see above.")
            self._drop(password, "it is the keystore's")
            return
        except FileExistsError as error:
            raise ConfigError(f"{error.filename} is there already: name another folder by --tls") from None
        except OSError as error:
            raise ConfigError(f"{self._tls}: {error.strerror}") from None
        self._take(store, "connector.tls", "certificate", str(certificate), "as a PEM file")
        self._take(store, "connector.tls", "key", str(key), "as a PEM file, for your user alone")
        self._drop(password, "the key in the PEM file has none")

    def _store(self, on_mysql: bool) -> None:
        url, user, password = self._one("im.jdbcurl"), self._one("im.user"), self._one("im.password")
        embedded = self._one("im.embeddb")
        if not on_mysql:
            assert embedded is not None
            self._set(
                "store",
                "url",
                "sqlite:///fsharechat.db",
                [f"{embedded}: taken. The embedded database is SQLite here, a file in the data folder."],
            )
            for one in (url, user, password):
                self._drop(one, "the embedded database needs none")
            return
        parsed = _jdbc(url.value) if url is not None and url.usable else None
        if parsed is None or user is None or not user.usable:
            self._decide.append(
                "[store] url: the address and the user of MySQL are not in the files. Until it is set, data are in a "
                "file of SQLite"
            )
            for one in (url, user, password, embedded):
                self._drop(one, "not taken, see [store] url above")
            return
        hosts, database, options = parsed
        login = quote(user.value, safe="")
        if password is not None and password.value:
            login += f":{quote(password.value, safe='')}"
        assert url is not None
        why = [f"{url}, {user.key}, {password.key if password else 'no password'}: taken."]
        if self._service is None:
            why = [
                f"{why[0][:-1]}, but for the database.",
                f"This server has one of its own: CREATE DATABASE {database}_new CHARACTER SET utf8mb4.",
                f"{database} stays as it is, for `fsharechat import-data`, and in case you go back.",
            ]
            database = f"{database}_new"
        self._set("store", "url", f"mysql://{login}@{hosts}/{database}", why)
        self._drop(embedded, "[store] url says it")
        if options.get("useSSL", "").lower() == "true" or options.get("sslMode", "DISABLED") != "DISABLED":
            self._decide.append(
                "[store.tls] ca: the original uses TLS to MySQL. Name the file of the authority, or system"
            )

    def _cluster(self, on_mysql: bool) -> None:
        broker, registry = self._usable("push.kafka.broker"), self._usable("dubbo.registry.address")
        # A group process and an api process need a number too, and the original's have none.
        several = self._service is not None or len({one.value for one in self._given.get("node.id", [])}) > 1
        self._seen |= {"node.id", "dubbo.protocol.host"}  # they differ between machines
        node, host = (self._given.get(name, [None])[0] for name in ("node.id", "dubbo.protocol.host"))
        bus = _hosts(broker.value, KAFKA_PORT) if broker is not None else ""
        names = _hosts(_zookeeper(registry.value), ZOOKEEPER_PORT) if registry is not None else ""
        if not (bus and names and on_mysql and "store" in self._values):
            why = "not taken: all roles run in one process, which needs neither Kafka nor ZooKeeper"
            for one in (broker, registry):
                self._drop(one, why)
            self._drop(host, "no other process calls this one")
            self._drop(node, "one process alone needs no number")
            return
        assert broker is not None
        assert registry is not None
        self._take(broker, "bus", "url", f"kafka://{bus}")
        self._take(registry, "registry", "url", f"zookeeper://{names}")
        self._set(
            "node",
            "cluster_secret",
            self._service.secret if self._service is not None else secrets.token_urlsafe(32),
            ["Made for you: the same in all processes of the cluster. The original has none."],
        )
        if node is not None and not several:
            self._take(
                node,
                "node",
                "id",
                _whole(node.value),
                'each process needs another one; "auto" takes a free one',
            )
        elif node is not None:
            self._set("node", "id", "auto", [f"{node}: there are several, so each process takes a free one."])
        hosts = [one for one in self._given.get("dubbo.protocol.host", []) if one.usable]
        if of_group := [one for one in hosts if one.service == "push-group"]:
            self._take(of_group[0], "rpc", "host", of_group[0].value, "another one on each machine")
        for one in hosts:
            if one not in of_group:
                self._drop(one, "only group processes are called by others")
        if not of_group:
            self._decide.append(
                "[rpc] host: 127.0.0.1 is right for processes on one machine; else the address by which others "
                "reach it"
            )

    def _media(self) -> None:
        url = self._usable("minio.url")
        access, secret = self._usable("minio.accesskey"), self._usable("minio.secretkey")
        found = re.fullmatch(r"(https?://[^/]+)(/.*)?", url.value) if url is not None else None
        if url is None or found is None or access is None or secret is None:
            for one in (url, access, secret):
                self._drop(one, "not taken: the url, the access key and the secret key are needed together")
            self._decide.append(
                "[blobs] url: media go into a folder of the api role, since the files do not name a whole MinIO. "
                "In a cluster all machines must share that folder"
            )
            return
        self._take(url, "blobs", "url", found[1], "but for its path" if (found[2] or "/") != "/" else "")
        self._take(access, "blobs", "access_key", access.value)
        self._take(secret, "blobs", "secret_key", secret.value)

    def _codes(self) -> None:
        provider = self._one("sms.cp")
        app, key, template = (self._usable(f"sms.{name}") for name in ("appid", "appkey", "templateid"))
        match provider.value if provider is not None else "0":
            case "1":
                for one, name in ((app, "access_key_id"), (key, "access_key_secret"), (template, "template")):
                    if one is not None:
                        self._take(one, "codes.aliyun", name, one.value)
                self._decide.append(
                    "[codes.aliyun] sign_name: the original has the signature in its code. Set it, and then "
                    '[codes] provider = "aliyun". Until then codes are only in the log'
                )
                self._drop(provider, "Alibaba Cloud, taken once sign_name is set")
            case "2":
                for one, name in ((app, "app_id"), (template, "template")):
                    if one is not None:
                        self._take(one, "codes.tencent", name, one.value)
                self._drop(
                    key, "Tencent Cloud is asked with a SecretId and a SecretKey now, and not with an AppKey"
                )
                self._decide.append(
                    "[codes.tencent] secret_id, secret_key, sign_name: they are not in the files. Set them, and then "
                    '[codes] provider = "tencent". Until then codes are only in the log'
                )
                self._drop(provider, "Tencent Cloud, taken once the keys are set")
            case _:
                for one in (app, key, template):
                    self._drop(one, "no SMS are sent")
                self._drop(
                    provider, "no SMS are sent: codes are in the log, or go out by mail with [codes.smtp]"
                )
                self._decide.append("[codes] provider: without SMS or mail, people get no login codes")
        code = self._usable("sms.supercode")
        if code is None:
            return
        if code.value == PUBLISHED_CODE:
            self._drop(
                code, "not taken: it is the one of the guide, by which everybody could log in as anybody"
            )
            self._decide.append("[codes] super_code: it is empty. The one of the guide is not taken")
        else:
            self._take(code, "codes", "super_code", code.value, "who knows it logs in as anybody")

    def _own_settings(self) -> None:
        """Take settings of this server as they are: fsharechat.api.port=8081.

        Those of another service count only where all run in one process.
        """
        only = self._service.name if self._service is not None and "bus" in self._values else ""
        for name, found in self._given.items():
            if not name.startswith(OWN):
                continue
            self._seen.add(name)
            mine = [one for one in found if not only or one.service == only]
            for one in mine[:1]:
                *section, key = one.key.removeprefix(OWN).split(".")
                self._take(one, ".".join(section), key, one.value)

    def _rest(self) -> None:
        for name, found in self._given.items():
            if name in _MEANINGLESS:
                for one in found:
                    self._drop(one, _MEANINGLESS[name])
            elif name not in self._seen:
                for one in found:
                    self._drop(one, "unknown: it is not in the guide of the original")
                    self._decide.append(f"{one} is unknown, and not taken ({one.file})")

    def _leave_out_what_is_wrong(self) -> None:
        """Take out what this server would not start with, and say so."""
        for _ in range(20):
            try:
                Settings.model_validate(_nested(self._values))
            except ValidationError as error:
                for details in error.errors():
                    self._leave_out(tuple(map(str, details["loc"])), details["type"])
            else:
                return

    def _leave_out(self, loc: tuple[str, ...], kind: str) -> None:
        for size in range(len(loc), 0, -1):
            section, key = ".".join(loc[: size - 1]), loc[size - 1]
            if key in self._values.get(section, {}):
                del self._values[section][key]
                self._decide.append(f"[{section}] {key}: what the original has is not right here ({kind})")
                return
        whole = ".".join(loc)
        self._values.pop(whole, None)
        self._decide.append(f"[{whole}]: what the original has is not right here")

    # What comes out

    def remarks(self) -> list[str]:
        """Return what is to be decided, without any value of a file."""
        return [f"decide: {one}" for one in self._decide]

    def text(self, files: Sequence[Path]) -> str:
        lines = [
            "# Settings of fsharechat, made by `fsharechat import-config` from",
            *(f"#   {file}" for file in files),
            "# `fsharechat settings` prints every key with its default. `fsharechat check` says if a file is right.",
            "",
            "# For you to decide:",
            *(f"#   {one}." for one in self._decide),
            "",
        ]
        for section, values in self._values.items():
            if not values:
                continue
            lines.append(f"[{section}]")
            for key, value in values.items():
                lines += [f"# {one}" for one in self._why.get((section, key), [])]
                lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}")
            lines.append("")
        lines += [
            "# What has no meaning here, or is not taken:",
            *(f"#   {one}" for one in self._meaningless),
        ]
        return "\n".join(lines) + "\n"


def _whole(text: str) -> int | str:
    """Return a whole number, or the text where it is none."""
    return int(text) if text.isascii() and text.isdecimal() else text


def _nested(values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section, keys in values.items():
        place = found
        for part in section.split("."):
            place = place.setdefault(part, {})
        place.update(keys)
    return found


def _hosts(text: str, port: int) -> str:
    """Return "a:1,b:2" of a list of hosts, "" where one of them is none."""
    names: list[str] = []
    for one in text.split(","):
        try:
            host, found = host_and_port(one.strip(), port)
        except UrlError:
            return ""
        names.append(joined(host, found))
    return ",".join(names)


def _zookeeper(address: str) -> str:
    """Return the hosts of an address of Dubbo, zookeeper://a:2181?backup=b:2181,c:2181."""
    place, _, query = address.removeprefix("zookeeper://").partition("?")
    backup = dict(pair.partition("=")[::2] for pair in query.split("&")).get("backup", "")
    return ",".join(filter(None, (place.strip("/"), backup)))


def _jdbc(url: str) -> tuple[str, str, dict[str, str]] | None:
    """Return hosts, database and options of jdbc:mysql://host:3306/name?key=value; None where it is not that."""
    found = re.fullmatch(r"jdbc:mysql://([^/]+)/([^?/]+)(?:\?(.*))?", url)
    if found is None or not (hosts := _hosts(found[1], MYSQL_PORT)):
        return None
    return hosts, found[2], dict(pair.partition("=")[::2] for pair in (found[3] or "").split("&"))
