"""The files of the original's guide become settings that the server starts with."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.cli import main
from fsharechat.moving import properties
from fsharechat.moving.config import ConfigError, convert
from fsharechat.settings import Settings, load
from tests.unit.moving.test_keystores import CHAIN, PASSWORD, jks

CONNECTOR = """
# wss ssl 配置
push.ssl.keystore={keystore}
push.ssl.truststore=
push.ssl.password={password}
## Dubbo Registry
dubbo.registry.address=zookeeper://10.0.0.5:2181
#dubbo.protocol.host=172.16.0.2
push.kafka.broker=10.0.0.6:9092,10.0.0.7
node.id=3
kurento.clientUrl=ws://media.example.org:8888/kurento
minio.url=https://media.example.org/
minio.access_key=an-access-key
minio.secret_key=a secret: key=1
"""
GROUP = """
dubbo.registry.address=zookeeper://10.0.0.5:2181
dubbo.protocol.host=172.16.0.3
hazelcast.members=172.16.176.23
sms.cp=1
sms.appid=LTAI-made-up
sms.appkey=made-up-secret
sms.templateId=SMS_1
sms.superCode=98413
im.embed_db=0
im.jdbc_url=jdbc:mysql://10.0.0.8:3306/fsharechat?useSSL=false&serverTimezone=GMT&characterEncoding=utf8
im.user=chat user
im.password=p@ss/w:rd
"""
API = """
spring.application.name=spring-boot-web-push-api
spring.main.allow-bean-definition-overriding=true
dubbo.registry.address=zookeeper://10.0.0.5:2181
server.port=8082
"""
SECRETS = ("an-access-key", "a secret: key=1", "made-up-secret", "98413", "p@ss", "p%40ss", PASSWORD)


@pytest.fixture(autouse=True)
def _log_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command sets up the log of its process, which other tests share."""
    monkeypatch.setattr("fsharechat.log.configure", lambda _: None)


def install(folder: Path, **changed: str) -> Path:
    """Make the folders of the guide."""
    for service, text in (("connector", CONNECTOR), ("group", GROUP), ("api", API)):
        config = folder / f"push-{service}" / "config"
        config.mkdir(parents=True)
        text = changed.get(service, text)
        filled = text.replace("{keystore}", changed.get("keystore", "")).replace("{password}", PASSWORD)
        (config / "application.properties").write_text(filled)
    return folder


def converted(folder: Path) -> tuple[Settings, str, list[str]]:
    text, remarks = convert([folder], folder / "tls")
    file = folder / "settings.toml"
    file.write_text(text)
    return load(file, {}, {}), text, remarks


def test_each_key_is_taken_or_it_is_said_why_not(tmp_path: Path) -> None:
    settings, text, _ = converted(install(tmp_path))
    assert settings.store.url == "mysql://chat%20user:p%40ss%2Fw%3Ard@10.0.0.8:3306/fsharechat_new"
    assert settings.bus.url == "kafka://10.0.0.6:9092,10.0.0.7:9092"
    assert settings.registry.url == "zookeeper://10.0.0.5:2181"
    assert settings.node.id == 3
    assert len(settings.node.cluster_secret) >= 32
    assert settings.rpc.host == "172.16.0.3"
    assert (settings.blobs.url, settings.blobs.access_key, settings.blobs.secret_key) == (
        "https://media.example.org",
        "an-access-key",
        "a secret: key=1",
    )
    assert settings.codes.super_code == "98413"
    assert settings.codes.provider == "log"
    assert settings.codes.aliyun.access_key_id == "LTAI-made-up"
    assert settings.codes.aliyun.access_key_secret == "made-up-secret"
    assert settings.api.port == 8082
    assert (settings.connector.host, settings.api.host) == ("0.0.0.0", "0.0.0.0")
    for file in (CONNECTOR, GROUP, API):
        for key in properties.parse(file):
            comments = [line for line in text.splitlines() if line.startswith("#") and key in line]
            assert comments, key


def test_secrets_are_in_the_settings_alone(tmp_path: Path) -> None:
    _, text, remarks = converted(install(tmp_path))
    told = "\n".join([*remarks, *(line for line in text.splitlines() if line.startswith("#"))])
    assert [secret for secret in SECRETS if secret in told] == []


def test_the_guide_as_it_is_gives_settings_that_start(tmp_path: Path) -> None:
    """Its placeholders are nobody's addresses, and its super code is everybody's."""
    guide = {
        "connector": CONNECTOR.replace("10.0.0.6:9092,10.0.0.7", "{kafka集群地址}:9092")
        .replace("10.0.0.5", "{zookeeper服务地址}")
        .replace("an-access-key", ""),
        "group": GROUP.replace("10.0.0.8", "{数据库地址}").replace("98413", "66666").replace("cp=1", "cp=0"),
    }
    settings, text, remarks = converted(install(tmp_path, **guide))
    assert settings.embedded
    assert settings.on_sqlite
    assert settings.codes.super_code == ""
    assert settings.blobs.in_directory
    assert any("[store] url" in remark for remark in remarks)
    assert any("super_code" in remark for remark in remarks)
    assert "push.kafka.broker (push-connector): it is a placeholder." in text


def test_the_settings_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    group = GROUP.replace("embed_db=0", "embed_db=1")
    converted(install(tmp_path, connector=CONNECTOR.replace("minio.url", "#"), group=group))
    file, data = tmp_path / "settings.toml", tmp_path / "data"
    assert main(["check", "--settings", str(file), "--data", str(data)]) == 0
    assert capsys.readouterr().out.count("ok  ") == 6


def test_the_embedded_database_is_a_single_process(tmp_path: Path) -> None:
    settings, text, _ = converted(install(tmp_path, group=GROUP.replace("embed_db=0", "embed_db=1")))
    assert settings.on_sqlite
    assert settings.embedded
    assert "im.password (push-group): the embedded database needs none." in text


@pytest.mark.parametrize("spelled", ["im.embedDb", "im.embed-db", "IM.EMBED_DB"])
def test_a_key_is_known_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    group = GROUP.replace("im.embed_db=0", f"{spelled}=1")
    settings, _, remarks = converted(install(tmp_path, group=group))
    assert settings.on_sqlite
    assert not any("unknown" in remark for remark in remarks)


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    settings, text, remarks = converted(install(tmp_path, api=API + "server.ssl.key-store=/x.jks\n"))
    assert settings.api.port == 8082
    assert any("server.ssl.key-store (push-api) is unknown" in remark for remark in remarks)
    assert "server.ssl.key-store (push-api): unknown" in text


def test_a_keystore_becomes_pem_files(tmp_path: Path) -> None:
    folder = install(tmp_path, keystore="/data/boot/push-connector/config/chat.jks")
    # It was copied from where it stood to beside the settings.
    (folder / "push-connector" / "config" / "chat.jks").write_bytes(jks(CHAIN, PASSWORD))
    settings, text, _ = converted(folder)
    assert settings.connector.tls.certificate == str(folder / "tls" / "connector.pem")
    assert Path(settings.connector.tls.key).read_text().startswith("-----BEGIN PRIVATE KEY-----")
    assert "push.ssl.password (push-connector): the key in the PEM file has none." in text


def test_a_keystore_that_cannot_be_read_is_for_somebody_to_decide(tmp_path: Path) -> None:
    settings, _, remarks = converted(install(tmp_path, keystore="/nowhere/chat.jks"))
    assert settings.connector.tls.certificate == ""
    assert any("chat.jks cannot be read" in remark for remark in remarks)


def test_several_connectors_have_numbers_of_their_own(tmp_path: Path) -> None:
    folder = install(tmp_path)
    other = folder / "second" / "push-connector" / "application.properties"
    other.parent.mkdir(parents=True)
    other.write_text(CONNECTOR.replace("node.id=3", "node.id=4").replace("{keystore}", ""))
    settings, _, _ = converted(folder)
    assert settings.node.id == "auto"


def test_what_is_wrong_here_is_left_out_and_named(tmp_path: Path) -> None:
    folder = install(
        tmp_path, api=API.replace("8082", "many"), group=GROUP.replace("98413", "no letters, please!")
    )
    settings, _, remarks = converted(folder)
    assert settings.api.port == 8081
    assert settings.codes.super_code == ""
    assert any(remark.startswith("decide: [api] port") for remark in remarks)
    assert any(remark.startswith("decide: [codes] super_code") for remark in remarks)


def test_hosts_of_zookeeper_as_dubbo_writes_them(tmp_path: Path) -> None:
    address = "10.0.0.5:2181?backup=10.0.0.9:2181,10.0.0.10:2182"
    changed = {
        name: text.replace("10.0.0.5:2181", address)
        for name, text in (("connector", CONNECTOR), ("group", GROUP), ("api", API))
    }
    settings, _, _ = converted(install(tmp_path, **changed))
    assert settings.registry.url == "zookeeper://10.0.0.5:2181,10.0.0.9:2181,10.0.0.10:2182"


def test_the_command_prints_the_settings_and_tells_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = install(tmp_path)
    assert main(["import-config", str(folder), "--tls", str(tmp_path / "tls")]) == 0
    out, err = capsys.readouterr()
    values: Mapping[str, Any] = tomllib.loads(out)
    assert values["api"]["port"] == 8082
    assert "sign_name" in err
    assert [secret for secret in SECRETS if secret in err] == []
    assert main(["import-config", str(tmp_path / "nowhere")]) == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_a_folder_without_such_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no application\.properties"):
        convert([tmp_path], tmp_path)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=b", {"a": "b"}),
        ("a : b\n! c=d\n  # e\nf g", {"a": "b", "f": "g"}),
        ("a=b\\\n   c\nd=\\u98de\\t!", {"a": "bc", "d": "飞\t!"}),
        ("a\\=b=c=d\nempty=\nlone", {"a=b": "c=d", "empty": "", "lone": ""}),
        ("path=C:\\\\data\\\\x", {"path": "C:\\data\\x"}),
        ("a=1\na=2", {"a": "2"}),
    ],
)
def test_properties_are_read_as_java_reads_them(text: str, values: dict[str, str]) -> None:
    assert properties.parse(text) == values


@given(st.text(max_size=60))
def test_any_text_is_read(text: str) -> None:
    assert all(key for key in properties.parse(text))
