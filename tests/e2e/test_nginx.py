"""deploy/nginx/fsharechat.conf: one public https address for login, web clients and media, with Debian's nginx."""

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector

from fsharechat.client import Client, Options, login
from tools.services.install import Installer, program
from tools.testing.server import SUPER_CODE, Server, until

pytestmark = pytest.mark.slow

CONF = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "fsharechat.conf"


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def nginx(folder: Path, changes: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx with the file, in which some texts are replaced: each must be there."""
    Installer(print).require(["nginx-light"], lambda: program("nginx") is not None)
    text = CONF.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    folder.mkdir()
    paths = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'pid'};\nerror_log {folder / 'error.log'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n"
    )
    command = [program("nginx") or "nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen([*command, "-g", "user root;"] if os.geteuid() == 0 else command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


async def test_all_goes_through_one_public_address(tmp_path: Path) -> None:
    port, plain_port = free_port(), free_port()
    public = f"https://localhost:{port}"
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    for part in certificate.cert_chain_pems:
        part.write_to_path(tmp_path / "chain.pem", append=True)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    async with Server(tmp_path / "data", {"BLOBS__PUBLIC_URL": public}) as server:
        changes = {
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "listen 80": f"listen 127.0.0.1:{plain_port}",
            "chat.example.org;": "localhost;",
            "/etc/ssl/chat.example.org.pem": str(tmp_path / "chain.pem"),
            "/etc/ssl/private/chat.example.org.key": str(tmp_path / "key.pem"),
            "127.0.0.1:8081": server.at.http.removeprefix("http://"),
            "127.0.0.1:9326": server.at.ws.removeprefix("ws://").strip("/"),
        }
        with nginx(tmp_path / "nginx", changes) as process:
            await until(lambda: answers(port) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "nginx" / "error.log").read_text()
            options = Options(tls=tls)
            ann, ben = [
                await login(server.at.http, number, SUPER_CODE, "web")
                for number in ("13800000001", "13800000002")
            ]
            place = f"wss://localhost:{port}/ws"
            async with (
                Client(ann, ws=place, options=options) as a,
                Client(ben, ws=place, options=options) as b,
            ):
                picture = os.urandom(3 << 20)
                await a.media.send_file(b.user_id, picture, name="a file.bin")
                message = await anext(b.messages())
                address = message.content.remote_media_url
                assert address.startswith(f"{public}/media/")
                async with ClientSession(connector=TCPConnector(ssl=tls)) as http:
                    async with http.get(address) as answer:
                        assert await answer.read() == picture
                    async with http.get(f"{public}/monitor/ready") as answer:
                        assert answer.status == 200
                    asked = {"mobile": "13800000001", "code": SUPER_CODE, "clientId": "other"}
                    async with http.post(f"{public}/login", json=asked) as answer:
                        assert (await answer.json())["result"]["userId"] == ann.user_id
                    moved = f"http://localhost:{plain_port}/monitor/ready"
                    async with http.get(moved, allow_redirects=False) as answer:
                        assert answer.status == 301
                        assert answer.headers["Location"] == "https://localhost/monitor/ready"
