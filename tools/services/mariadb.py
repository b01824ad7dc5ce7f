"""MariaDB, which stands for MySQL."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pymysql

from .certificates import Authority
from .install import Installer, program, run
from .service import HERE, HOST, Daemon, Location, Say, Service

USER = PASSWORD = DATABASE = "fsharechat"
_INSTALL_SECONDS = 120
_TLS = "tls"
"""The folder of the certificates. Clients may use TLS on the same port; they trust ca.pem."""
# Tests make their own databases: the user owns all whose names begin so.
_SQL = f"""\
FLUSH PRIVILEGES;
CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
CREATE USER {USER} IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON `{DATABASE}%`.* TO {USER};
"""


class MariaDbDaemon(Daemon):
    """One `mariadbd`."""

    def __init__(self, name: str, folder: Path, port: int, location: Location = HERE) -> None:
        super().__init__(name, folder, location)
        self.port = port

    @property
    def ports(self) -> Mapping[str, int]:
        return {"clients": self.port}

    @property
    def _tmp(self) -> Path:
        return self.folder / "tmp"

    def prepare(self, say: Say) -> None:
        if not (self.folder / _TLS).exists():
            Authority(self.folder / _TLS).issue("server", hosts=[self.location.host])
        self._tmp.mkdir(exist_ok=True)
        if self.data.exists():
            return
        say(f"{self.name}: making its data folder")
        new = self.folder / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        sql = self.folder / "first.sql"
        sql.write_text(_SQL)
        command = [program("mariadb-install-db") or "mariadb-install-db", "--no-defaults", *_user()]
        command += [f"--datadir={new}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        run([*command, f"--extra-file={sql}"], seconds=_INSTALL_SECONDS)
        new.rename(self.data)

    def command(self) -> list[str]:
        # Relative paths start at the data folder. The absolute path of a socket might be too long.
        return [
            program("mariadbd") or "mariadbd",
            "--no-defaults",
            *_user(),
            f"--datadir={self.data}",
            # Each server that starts removes temporary tables from its folder: also those of others.
            f"--tmpdir={self._tmp}",
            f"--port={self.port}",
            f"--bind-address={self.location.host}",
            "--socket=mariadbd.sock",
            "--pid-file=mariadbd.pid",
            f"--ssl-ca={self.folder / _TLS / 'ca.pem'}",
            f"--ssl-cert={self.folder / _TLS / 'server.pem'}",
            f"--ssl-key={self.folder / _TLS / 'server.key'}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
            "--default-time-zone=+00:00",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=64M",
            "--max-connections=500",
        ]

    def ready(self) -> bool:
        return self.query("SELECT 1") is not None

    def query(self, statement: str) -> list[tuple[object, ...]] | None:
        """The rows of a statement from the user's client, None if there is no answer."""
        try:
            connection = pymysql.connect(
                host=self.location.host,
                port=self.port,
                user=USER,
                password=PASSWORD,
                database=DATABASE,
                connect_timeout=2,
                read_timeout=2,
            )
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except pymysql.Error:
            return None


class MariaDb(Service):
    name: ClassVar[str] = "mariadb"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        installer.require(["mariadb-server"], has_mariadb)

    @property
    def daemons(self) -> Sequence[MariaDbDaemon]:
        return [MariaDbDaemon(self.name, self.folder / self.name, self.ports[0])]

    def variables(self) -> dict[str, str]:
        return {"FSHARECHAT_STORE__URL": url([f"{HOST}:{self.ports[0]}"])}


def has_mariadb() -> bool:
    return program("mariadbd") is not None and program("mariadb-install-db") is not None


def url(addresses: Sequence[str]) -> str:
    """The store's url for the server, or the servers of one cluster, at these host:port."""
    return f"mysql://{USER}:{PASSWORD}@{','.join(addresses)}/{DATABASE}"


def _user() -> list[str]:
    # As root it needs an explicit user. The user `mysql` may not be able to enter the checkout.
    return ["--user=root"] if os.geteuid() == 0 else []
