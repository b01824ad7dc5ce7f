"""compose.yaml and the Dockerfile against the settings and files that they name, as far as goes without Docker."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETTINGS = tomllib.loads((ROOT / "settings.toml").read_text())


def test_every_variable_is_a_setting() -> None:
    named = set(re.findall(r"FSHARECHAT_([A-Z]+)__([A-Z_]+)", COMPOSE))
    assert named
    for section, key in named:
        assert key.lower() in SETTINGS[section.lower()], f"FSHARECHAT_{section}__{key}"


def test_the_roles_and_the_services_are_there() -> None:
    services = COMPOSE.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    names = re.findall(r"^  ([a-z]+):$", services, re.MULTILINE)
    assert names == ["connector", "group", "media", "api", "mysql", "zookeeper", "kafka", "minio", "coturn"]


def test_no_password_has_a_default() -> None:
    with_default = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*):-([^}]*)\}", COMPOSE)
    assert [name for name, value in with_default if value] == []
    assert set(re.findall(r"\$\{(\w+):\?", COMPOSE)) >= {"CLUSTER_SECRET", "MYSQL_PASSWORD", "MINIO_PASSWORD"}


def test_images_are_pinned_to_a_release() -> None:
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    images += re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert len(images) > 6
    for image in images:
        assert image == "fsharechat" or re.search(r":(RELEASE\.)?\d+[.-]\d+[.-]\d+", image), image


def test_only_what_clients_need_is_published_and_where_it_is_wanted() -> None:
    published = re.findall(r'^ +- "(\S+):(\d+):(\d+(?:/udp)?)"$', COMPOSE, re.MULTILINE)
    assert {bound for bound, *_ in published} == {"${BIND:-127.0.0.1}"}
    assert [port for *_, port in published] == ["6789", "9326", "20000/udp", "8081", "9000"]


def test_a_container_listens_outside_of_itself_and_says_how_it_is() -> None:
    variables = dict(re.findall(r"FSHARECHAT_(\w+?)=(\S+)", DOCKERFILE))
    assert variables["CONNECTOR__HOST"] == variables["API__HOST"] == "0.0.0.0"
    assert variables["MEDIA__LISTEN"] == "0.0.0.0:20000"
    assert f"127.0.0.1:{variables['METRICS__PORT']}/monitor/ready" in DOCKERFILE
    for line in ("VOLUME /data", "USER fsharechat", "HEALTHCHECK"):
        assert f"\n{line}" in DOCKERFILE
    exposed = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert exposed == ["6789 9326 8081 20000/udp"]
    for section, key in re.findall(r"FSHARECHAT_([A-Z]+)__([A-Z_]+)", DOCKERFILE):
        assert key.lower() in SETTINGS[section.lower()]


def test_urls_lead_to_services() -> None:
    hosts = set(re.findall(r"(?:mysql|kafka|zookeeper|http)://(?:[^@\s]*@)?([a-z]+):", COMPOSE))
    assert hosts == {"mysql", "kafka", "zookeeper", "minio"}


def test_every_volume_is_declared() -> None:
    declared = set(re.findall(r"^  ([a-z-]+):$", COMPOSE.partition("\nvolumes:\n")[2], re.MULTILINE))
    used = {
        name
        for line in re.findall(r"volumes: \[(.*)\]", COMPOSE)
        for name in re.findall(r'"([a-z-]+):/', line)
    }
    assert used == declared


def test_the_image_is_built_from_files_that_are_there() -> None:
    ignored_but = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert source in ignored_but, f"{source} is not sent to the builder"
