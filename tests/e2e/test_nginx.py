"""deploy/nginx/fsharechat.conf: one public https address for login, web clients and media, with Debian's nginx."""

import os
import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector

from fsharechat.client import Client, Options, login
from tools.services.service import free_port
from tools.testing.nginx import NAME, before, nginx
from tools.testing.server import SUPER_CODE, Server

pytestmark = pytest.mark.slow


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
            f"{NAME};": "localhost;",
            f"/etc/ssl/{NAME}.pem": str(tmp_path / "chain.pem"),
            f"/etc/ssl/private/{NAME}.key": str(tmp_path / "key.pem"),
        }
        async with nginx(tmp_path / "nginx", port, changes | before(server.at)):
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
                    wrong = {"name": "nobody", "password": "a wrong password"}
                    headers = {"X-Requested-With": "fsharechat", "X-Forwarded-For": "198.51.100.7"}
                    async with http.post(f"{public}/admin/session", json=wrong, headers=headers) as answer:
                        assert answer.status == 401
                    # nginx was told of this address, and has handed it on
                    assert [one["address"] for one in server.logged("administrator refused")] == [
                        "198.51.100.7"
                    ]
                    moved = f"http://localhost:{plain_port}/monitor/ready"
                    async with http.get(moved, allow_redirects=False) as answer:
                        assert answer.status == 301
                        assert answer.headers["Location"] == "https://localhost/monitor/ready"
