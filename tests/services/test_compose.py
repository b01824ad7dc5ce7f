"""compose.yaml and the Dockerfile against the settings and files that they name, as far as goes without Docker."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = (ROOT / "compose.yaml").read_text()


def test_every_variable_is_a_setting() -> None:
    with (ROOT / "settings.toml").open("rb") as file:
        settings = tomllib.load(file)
    named = set(re.findall(r"FSHARECHAT_([A-Z]+)__([A-Z_]+)", COMPOSE))
    assert named
    for section, key in named:
        assert key.lower() in settings[section.lower()], f"FSHARECHAT_{section}__{key}"


def test_the_roles_and_the_services_are_there() -> None:
    services = COMPOSE.partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    names = re.findall(r"^  ([a-z]+):$", services, re.MULTILINE)
    assert names == ["connector", "group", "media", "api", "mysql", "zookeeper", "kafka", "minio", "coturn"]


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
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists()
            assert source in ignored_but, f"{source} is not sent to the builder"
