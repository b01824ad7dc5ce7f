import json
import re
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ValidationError

from fsharechat.settings import Settings, SettingsError, key_paths, load
from fsharechat.settings_schema import ConnectorSettings, StoreSettings
from tools.services.certificates import Authority

SHIPPED = Path(__file__).parents[2] / "settings.toml"

Write = Callable[[str], Path]
"""Makes a settings file of a text."""


def at(values: object, path: tuple[str, ...]) -> object:
    for name in path:
        values = values[name] if isinstance(values, dict) else getattr(values, name)
    return values


def paths(values: dict[str, object], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, value in values.items():
        found |= paths(value, (*path, name)) if isinstance(value, dict) else {(*path, name)}
    return found


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "s.toml"
        file.write_text(text)
        return file

    return write


def problems(
    file: Path | None = None, flags: dict[str, object] | None = None, environ: dict[str, str] | None = None
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(file, flags or {}, environ or {})
    assert str(caught.value).splitlines() == caught.value.problems
    return caught.value.problems


def test_the_shipped_file_has_exactly_every_key_with_its_default() -> None:
    values = tomllib.loads(SHIPPED.read_text())
    assert paths(values) == set(key_paths())
    defaults = Settings().model_dump(mode="json")
    for path in key_paths():
        if path != ("node", "data"):
            assert at(values, path) == at(defaults, path), path
    assert Path(values["node"]["data"]) == Settings().node.data
    assert load(SHIPPED, {}, {}) == Settings()


def test_every_shipped_key_has_a_comment() -> None:
    lines = SHIPPED.read_text().splitlines()
    bare = [line for above, line in pairwise(lines) if re.match(r"\w+ =", line) and not above.startswith("#")]
    assert bare == []


def test_sources_in_order_of_strength(write: Write) -> None:
    file = write('[node]\ndata = "file"\n[connector]\ntcp_port = 1\nws_port = 1\n[connector.tls]\nkey = ""')
    environ = {"FSHARECHAT_NODE__DATA": "env", "FSHARECHAT_CONNECTOR__TCP_PORT": "2", "PATH": "/bin"}
    settings = load(file, {"data": "flag", "roles": None, "other": 1}, environ)
    assert (settings.node.data, settings.connector.tcp_port, settings.connector.ws_port) == (
        Path("flag"),
        2,
        1,
    )
    assert load(file, {}, environ).node.data == Path("env")
    assert load(file, {}, {}).node.data == Path("file")
    assert load(None, {}, {}) == Settings()


def test_variables_of_every_kind(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("connector")
    environ = {
        "FSHARECHAT_NODE__ROLES": "api, group",
        "FSHARECHAT_NODE__ID": "7",
        "FSHARECHAT_METRICS__PORT": "0",
        "FSHARECHAT_CONNECTOR__TLS__KEY": str(pair.key),
        "FSHARECHAT_CONNECTOR__TLS__CERTIFICATE": str(pair.certificate),
        "FSHARECHAT_CONNECTOR__HEAD_CHECK_SECONDS": "0.25",
        "FSHARECHAT_API__CORS_ORIGINS": "https://a.example,https://b.example",
        "FSHARECHAT_API__KEY": "0070070070070070",
    }
    settings = load(None, {}, environ)
    assert settings.node.roles == ("api", "group")
    assert (settings.node.id, settings.metrics.port) == (7, 0)
    assert settings.connector.tls.on
    assert settings.connector.head_check_seconds == 0.25
    assert settings.api.cors_origins == ("https://a.example", "https://b.example")
    assert settings.api.key == "0070070070070070"


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSHARECHAT_CONNECTOR__TCP_PORT", "1")
    assert Settings().connector.tcp_port == 6789


def test_roles_from_a_flag() -> None:
    assert load(None, {"roles": "connector,group"}, {}).node.roles == ("connector", "group")


@pytest.mark.parametrize("file", [None, SHIPPED])
def test_dev_fills_what_is_not_set(file: Path | None) -> None:
    settings = load(file, {"dev": True}, {})
    assert (settings.codes.super_code, settings.log.format) == ("66666", "console")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_dev_has_the_known_super_code_where_nobody_else_gets_in(host: str) -> None:
    hosts = {f"FSHARECHAT_{section}__HOST": host for section in ("CONNECTOR", "API", "RPC")}
    assert load(None, {"dev": True}, hosts).codes.super_code == "66666"


@pytest.mark.parametrize("section", ["CONNECTOR", "API"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "*", "192.0.2.1", "chat.example.org"])
def test_dev_has_no_known_super_code_beyond_this_machine(section: str, host: str) -> None:
    settings = load(None, {"dev": True}, {f"FSHARECHAT_{section}__HOST": host})
    assert (settings.codes.super_code, settings.log.format) == ("", "console")


def test_dev_in_a_cluster_beyond_this_machine_needs_a_super_code() -> None:
    cluster = {
        "FSHARECHAT_NODE__ROLES": "group",
        "FSHARECHAT_NODE__CLUSTER_SECRET": "s" * 16,
        "FSHARECHAT_BUS__URL": "kafka://host",
        "FSHARECHAT_REGISTRY__URL": "zookeeper://host",
    }
    assert load(None, {"dev": True}, cluster).codes.super_code == "66666"
    cluster["FSHARECHAT_RPC__HOST"] = "192.0.2.1"
    (problem,) = problems(None, {"dev": True}, cluster)
    assert problem == (
        "[codes] super_code = ***: --dev needs one, the same in all group processes, where other machines reach them"
    )
    assert (
        load(None, {"dev": True}, {**cluster, "FSHARECHAT_CODES__SUPER_CODE": "77"}).codes.super_code == "77"
    )
    assert (
        load(None, {"dev": True}, {**cluster, "FSHARECHAT_NODE__ROLES": "connector"}).codes.super_code == ""
    )
    assert load(None, {}, cluster).codes.super_code == ""


def test_dev_gives_way_to_what_is_set(write: Write) -> None:
    settings = load(write('[codes]\nsuper_code = "77"'), {"dev": True}, {"FSHARECHAT_LOG__FORMAT": "json"})
    assert (settings.codes.super_code, settings.log.format) == ("77", "json")
    assert load(None, {"dev": False}, {}).codes.super_code == ""


@pytest.mark.parametrize(
    ("section", "line", "problem"),
    [
        (
            "connector",
            "tcp_port = 65536",
            "tcp_port = 65536: must be a whole number, at least 0 and at most 65535",
        ),
        (
            "connector",
            "tcp_port = 1.5",
            "tcp_port = 1.5: must be a whole number, at least 0 and at most 65535",
        ),
        ("connector", "tcp_port = true", "tcp_port = True: must be a number, not true or false"),
        ("connector", 'host = ""', "host = '': must not be empty"),
        ("connector", "authenticate_seconds = 0", "= 0: must be a number, above 0 and at most 31536000"),
        ("connector", "authenticate_seconds = inf", "= inf: must be a number, above 0"),
        ("connector", "authenticate_seconds = nan", "= nan: must be a number, above 0"),
        ("connector", "max_inflight = 0", "max_inflight = 0: must be a whole number, at least 1"),
        ("connector", "tls = 1", "[connector.tls]: is a section, not a key"),
        (
            "connector.tls",
            'key = "/no/such"',
            "key = '/no/such': must be the path of a PEM file; there is no such",
        ),
        ("node", "id = 64", 'id = 64: must be "auto" or a whole number from 0 to 63'),
        ("node", "id = true", 'id = True: must be "auto" or a whole number from 0 to 63'),
        ("node", 'id = "any"', "id = 'any': must be \"auto\" or a whole number from 0 to 63"),
        ("node", "roles = []", "roles = []: must name at least one role, and each only once"),
        (
            "node",
            'roles = ["api", "api"]',
            "roles = ['api', 'api']: must name at least one role, and each only once",
        ),
        ("node", 'roles = ["apx"]', "roles = 'apx': no such role; roles found: api, connector, group"),
        ("node", "roles = 1", 'roles = 1: must be a list of texts, such as ["a", "b"]'),
        ("node", "data = 1", "data = 1: must be the path of a folder"),
        (
            "store",
            'url = "mysql://u:hush@h/"',
            "'mysql://u:***@h/': must be mysql://user:password@host/database",
        ),
        (
            "store",
            'url = "mysql://u:hush@h:port/db"',
            "'mysql://u:***@h:port/db': 'h:port' is not a host or host:port",
        ),
        (
            "store",
            'url = "sqlite://"',
            "must be sqlite:///FILE, sqlite:////FILE for an absolute path, or mysql://",
        ),
        (
            "store",
            'url = "sqlite:///:memory:"',
            "must be sqlite:///FILE, sqlite:////FILE for an absolute path, or mysql://",
        ),
        ("bus", 'url = "redis://h:1"', 'must be kafka://host:9092; or "memory", for one process'),
        (
            "registry",
            'url = "zookeeper://h:x"',
            "'h:x' is not a host or host:port; or \"memory\", for one process",
        ),
        ("bus", 'url = "kafka://h:1"', 'must be "memory", for one process, or neither, for a cluster'),
        ("bus", 'url = "kafka://ann:hush@h:1"', "url = 'kafka://ann:***@h:1': with [registry] url"),
        ("bus", 'url = "kafka://ann@h:1"', "must be kafka://user:password@host:9092, or have neither"),
        ("bus", 'url = "kafka://:hush@h:1"', "must be kafka://user:password@host:9092, or have neither"),
        (
            "bus",
            'url = "kafka://ann:hush@h:1"\nsasl = "plain"',
            "user and password would travel in the clear",
        ),
        ("bus", 'sasl = "gssapi"', "must be one of 'scram-sha-512', 'scram-sha-256' or 'plain'"),
        (
            "registry",
            'url = "zookeeper://ann:hush@h"',
            "must be without user and password, zookeeper://host:2181",
        ),
        ("node", 'roles = ["api"]', "the group role would run in another process"),
        (
            "blobs",
            'url = ""',
            "url = '': must be directory:///FOLDER, directory:////FOLDER for an absolute path, or",
        ),
        ("blobs", 'url = "http://h"', "[blobs]: access_key and secret_key must be set for an S3 server"),
        ("codes", 'provider = "fax"', "must be one of 'log', 'aliyun', 'tencent' or 'smtp'"),
        (
            "codes",
            'provider = "aliyun"',
            'provider = "aliyun" needs access_key_id, access_key_secret, sign_name, template in [codes.aliyun]',
        ),
        (
            "codes",
            'provider = "tencent"\n[codes.tencent]\nsecret_id = "a"\nsecret_key = "hush"\napp_id = "1"',
            'provider = "tencent" needs sign_name, template in [codes.tencent]',
        ),
        ("codes", 'provider = "smtp"', 'provider = "smtp" needs host in [codes.smtp]'),
        ("codes.smtp", 'host = "h"', "sender must be an e-mail address, or"),
        ("codes.smtp", 'body = "hello"', "body must contain {code}"),
        ("codes.smtp", 'subject = "a\\nb"', "subject must be one line"),
        ("codes.smtp", 'username = "u"', "username and password must be set together"),
        (
            "codes.smtp",
            'username = "u"\npassword = "hush"\nsecurity = "none"',
            "username and password would travel in the clear",
        ),
        ("codes.aliyun", 'endpoint = "h:1/x"', "= 'h:1/x': must be https://host or https://host:port"),
        ("codes", 'super_code = "hush hush"', "super_code = ***: must be at most 32 letters and digits"),
        ("codes", "super_code = 66666", "super_code = ***: must be text in quotes"),
        ("api", "key = 5", "key = ***: must be text in quotes"),
        ("api", 'key = "hush"', "key = ***: must be at least 16 letters, digits and signs without spaces"),
        ("api", 'key = "hush hush hush hush"', "key = ***: must be at least 16 letters, digits and signs"),
        ("api", 'notification_name = ""', "notification_name = '': must not be empty"),
        ("rpc", 'advertise = "h:x"', "advertise = 'h:x': must be host or host:port: 'h:x' is not a host or"),
        ("rpc", 'advertise = "[::]:9000"', "must be an address that other processes reach"),
        ("metrics", "port = 65536", 'port = 65536: must be "off" or a whole number from 0 to 65535'),
        ("node", 'data = ""', "data = '': must be the path of a folder; it is empty"),
        ("metrics", 'user = "a:b"', "user = 'a:b': must be a name without a colon"),
        ("blobs", 'public_url = "h"', "public_url = 'h': must be https://host, http://host:port or such"),
        ("blobs", 'region = "a b"', "region = 'a b': must be letters, digits and -, such as us-east-1"),
        ("backup", 'url = "s3"', "url = 's3': must be https://host or http://host:9000, without a path"),
        ("robots", "agents = 5", "[robots] agents = [...]: must be a list of tables"),
        ("robots", "agents = [5]", "[robots] agents, table 1: must be a table"),
        (
            "robots",
            'agents = [{uid = "a b", name = "hush", agent = "http://h"}]',
            "[robots] agents, table 1, uid: must be a uid without spaces",
        ),
        (
            "robots",
            'agents = [{uid = "a", name = "A", agent = "http://h"}, {uid = "b", agent = "http://h"}]',
            "[robots] agents, table 2, name: must be set",
        ),
        (
            "robots",
            'agents = [{uid = "a", name = "A", agent = "http://h", modell = "hush"}]',
            "[robots] agents, table 1, modell: no such key; did you mean model?",
        ),
        (
            "robots",
            'agents = [{uid = "a", name = "A", agent = "http://h", kind = "openai"}]',
            '[robots] agents, table 1: an agent of the kind "openai" needs a model',
        ),
        ("oidc", f'label = "{"x" * 65}"', "must have at most 64 characters"),
        ("log", 'level = "loud"', "level = 'loud': must be one of 'debug', 'info', 'warning' or 'error'"),
        ("connector", "tcp_prot = 1", "[connector] tcp_prot: no such key; did you mean tcp_port?"),
        ("conector", "tcp_port = 1", "[conector]: no such section; did you mean [connector]?"),
        ("connector.tsl", "key = 1", "[connector.tsl]: no such section; did you mean [connector.tls]?"),
    ],
)
def test_one_line_says_what_is_wrong_where_and_what_would_be_right(
    write: Write, section: str, line: str, problem: str
) -> None:
    file = write(f"[{section}]\n{line}\n")
    (text,) = problems(file)
    assert text.startswith(f"[{section}")
    assert problem in text
    assert text.endswith(f" (file {file})")
    assert "hush" not in text


def test_every_problem_has_its_line(write: Write) -> None:
    file = write('[connector]\ntcp_port = -1\n[limits]\nrequest = 1\n[log]\nformat = "xml"')
    found = problems(file, {"roles": "a"}, {"FSHARECHAT_API__PORT": "x", "FSHARECHAT_API__PROT": "1"})
    assert [re.split(r"[:=]", text)[0].strip() for text in found] == [
        "environment variable FSHARECHAT_API__PROT",
        "[limits] request",
        "[connector] tcp_port",
        "[api] port",
        "[log] format",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FSHARECHAT_CONECTOR__TCP_PORT", "; did you mean FSHARECHAT_CONNECTOR__TCP_PORT?"),
        ("FSHARECHAT_API_KEY", "; did you mean FSHARECHAT_API__KEY?"),
        ("FSHARECHAT_ZZZ", ""),
    ],
)
def test_unknown_variables(name: str, hint: str) -> None:
    assert problems(environ={name: "hush"}) == [f"environment variable {name}: no such key{hint}"]


@pytest.mark.parametrize("key", ["ROBOTS__AGENTS", "WEBHOOKS__HOOKS"])
def test_a_variable_with_tables_that_are_not_json(key: str) -> None:
    assert problems(environ={f"FSHARECHAT_{key}": "hush"}) == [
        f"environment variable FSHARECHAT_{key}: must be a list of tables in JSON, [{{...}}, {{...}}]"
    ]


def test_an_empty_variable_does_not_make_this_folder_the_data_folder() -> None:
    (text,) = problems(environ={"FSHARECHAT_NODE__DATA": ""})
    assert text == (
        "[node] data = '': must be the path of a folder; it is empty "
        "(environment variable FSHARECHAT_NODE__DATA)"
    )


def test_a_problem_names_the_strongest_source(write: Write) -> None:
    file = write("[connector]\ntcp_port = 1")
    (text,) = problems(file, environ={"FSHARECHAT_CONNECTOR__TCP_PORT": "x"})
    assert text.endswith("(environment variable FSHARECHAT_CONNECTOR__TCP_PORT)")
    (text,) = problems(file, {"roles": "x"})
    assert text.endswith("(flag --roles)")


def test_tls_needs_both_files(write: Write, tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("connector")
    (text,) = problems(write(f'[connector.tls]\nkey = "{pair.key}"'))
    assert text.startswith("[connector.tls]: certificate and key must be set together, or neither (file ")


def test_a_file_that_cannot_be_read(tmp_path: Path, write: Write) -> None:
    assert problems(tmp_path / "none.toml") == [f"{tmp_path / 'none.toml'}: there is no such settings file"]
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]
    assert "is not TOML" in problems(write("[node\n"))[0]
    assert "line 1" in problems(write("[node\n"))[0]


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.connector = ConnectorSettings()  # type: ignore[misc]  # what must not work
    with pytest.raises(ValidationError, match="frozen"):
        settings.connector.tcp_port = 1  # type: ignore[misc]


def test_secrets_stay_out_of_the_text_form() -> None:
    settings = load(None, {}, {"FSHARECHAT_API__KEY": "hush" * 4, "FSHARECHAT_CODES__SUPER_CODE": "hush"})
    assert settings.api.key == "hush" * 4
    assert "hush" not in repr(settings) + str(settings)


def test_the_store_is_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings().store_path() == tmp_path / "data" / "fsharechat.db"
    assert Settings(store=StoreSettings(url="sqlite:////srv/x.db")).store_path() == Path("/srv/x.db")


def test_a_secret_in_a_list_of_tables_is_not_shown_when_it_is_wrong() -> None:
    hook = {"name": "one", "url": "http://localhost:1", "secret": "whsec_short", "events": ["message.stored"]}
    with pytest.raises(SettingsError) as refused:
        load(None, {}, {"FSHARECHAT_WEBHOOKS__HOOKS": json.dumps([hook])})
    assert "[webhooks] hooks, table 1, secret: must be whsec_" in str(refused.value)
    assert "whsec_short" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        (
            {
                "BUS__URL": "kafka://k",
                "REGISTRY__URL": "zookeeper://z",
                "NODE__CLUSTER_SECRET": "0123456789abcdef",
            },
            "workers are for one machine without Kafka and ZooKeeper; must be 0 in a cluster",
        ),
        ({"NODE__ROLES": "group,api"}, "workers have the connector role; must be 0, or [node] roles"),
        ({"METRICS__PORT": "65533"}, "[metrics] port = 65533 must be at most 65532"),
    ],
)
def test_workers_need_one_machine_and_the_connector_role(environ: dict[str, str], reason: str) -> None:
    given = {f"FSHARECHAT_{key}": value for key, value in environ.items()}
    [problem] = problems(None, {"workers": "3"}, given)
    assert problem.startswith("[node] workers = 3: ")
    assert reason in problem
    assert problem.endswith("(flag --workers)")
    assert load(None, {"workers": "0"}, given).node.workers == 0


def test_workers_need_ports_that_processes_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsharechat.settings.SHARED_PORTS", False)
    [problem] = problems(None, {}, {"FSHARECHAT_NODE__WORKERS": "2"})
    assert problem.startswith(
        "[node] workers = 2: on this system several processes cannot listen on one port"
    )


def test_the_number_of_workers_has_bounds() -> None:
    assert load(None, {"workers": "64"}, {}).node.workers == 64
    for wrong in ("65", "-1", "two"):
        assert "must be a whole number, at least 0 and at most 64" in problems(None, {"workers": wrong})[0]


def test_workers_are_the_connector_role_in_its_place() -> None:
    settings = load(None, {"workers": "2"}, {})
    assert settings.embedded
    assert settings.node.roles == ("connector", "group", "api", "media")
    assert settings.own_roles == ("group", "api", "media")
    assert Settings().own_roles == Settings().node.roles
