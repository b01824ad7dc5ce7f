"""Keycloak, a provider of logins by OpenID Connect."""

import http.client
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from .install import Installer
from .places import downloads
from .service import HOST, SMALL_JAVA, OnePortDaemon, Say, Service

_VERSION = "26.0.7"
_ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{_VERSION}:zip"
_SHA256 = "25353b74613bcf72db67f8addbd88d832c705a69333091a16573d249d665fe21"
_HEAP = ("-Xms64m", "-Xmx512m", "-XX:MaxMetaspaceSize=256m", "-Djava.security.egd=file:/dev/urandom")
_ANSWER_SECONDS = 5
ADMIN = PASSWORD = "fsharechat"
"""The administrator of the realm `master`, who makes the others."""


class KeycloakDaemon(OnePortDaemon):
    ready_seconds: ClassVar[float] = 240.0

    def prepare(self, say: Say) -> None:
        # It writes into its own folder when it starts, so each set has one.
        if self._home.is_dir():
            return
        say(f"{self.name}: unpacking it")
        shutil.rmtree(self.data, ignore_errors=True)
        with zipfile.ZipFile(_archive()) as packed:
            packed.extractall(self.data)

    def command(self) -> list[str]:
        where = [f"--http-host={HOST}", f"--http-port={self._port}"]
        return ["sh", str(self._home / "bin" / "kc.sh"), "start-dev", *where]

    def environment(self) -> dict[str, str]:
        return {
            "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN,
            "KC_BOOTSTRAP_ADMIN_PASSWORD": PASSWORD,
            "JAVA_OPTS": " ".join((*_HEAP, *SMALL_JAVA)),
        }

    def ready(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", "/realms/master/.well-known/openid-configuration")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    @property
    def _home(self) -> Path:
        return self.data / f"keycloak-{_VERSION}"


class Keycloak(Service):
    name: ClassVar[str] = "keycloak"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        installer.java()
        installer.artifact(_ARTIFACT, _archive(), _SHA256)

    @property
    def daemons(self) -> Sequence[KeycloakDaemon]:
        return [KeycloakDaemon(self.name, self.folder / self.name, self.ports[0])]

    def variables(self) -> dict[str, str]:
        return {"KEYCLOAK_URL": f"http://{HOST}:{self.ports[0]}"}


def _archive() -> Path:
    return downloads() / f"keycloak-{_VERSION}.zip"
