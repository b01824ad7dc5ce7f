"""SIGHUP: what a running server takes over from its files. It never ends by it."""

import signal
import ssl
from pathlib import Path

import pytest

from tools.services.certificates import Authority
from tools.testing.server import Server, until

pytestmark = pytest.mark.slow

SETTINGS = """
[connector.tls]
certificate = "{certificate}"
key = "{key}"
[log]
level = "{level}"
"""


async def test_sighup_takes_over_certificates_and_the_level_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")

    def write(level: str) -> None:
        file.write_text(SETTINGS.format(certificate=certificate, key=key, level=level))

    write("error")
    async with Server(tmp_path / "data") as server:
        host, _, port = server.at.tcp.rpartition(":")
        old = ssl.get_server_certificate((host, int(port)))
        authority.issue("server")
        write("debug")
        server.signal(signal.SIGHUP)
        await until(lambda: bool(server.logged("settings read again")), "the settings are not read again")
        await until(lambda: bool(server.logged("certificate renewed")), "the certificate is not renewed")
        assert ssl.get_server_certificate((host, int(port))) != old

        file.write_text("[log]\nlevel = 'loud'")
        server.signal(signal.SIGHUP)
        await until(lambda: bool(server.logged("settings not read again")), "nothing is said of it")
        [refused] = server.logged("settings not read again")
        assert "level" in str(refused["reason"])

        write("error")
        server.signal(signal.SIGHUP)
        await server.stop()
        assert server.logged("draining") == []  # which is less than an error
