"""deploy/nginx/fsharechat.conf: one public https address for login, web clients and media, with Debian's nginx."""

import os
import ssl
from pathlib import Path

import pytest
import trustme
from aiohttp import ClientSession, TCPConnector
from PIL import Image
from playwright.async_api import expect

from fsharechat.client import Client, Options, login
from tests.e2e.web_people import befriend, chat_of
from tools.services.service import free_port
from tools.testing.cluster import new_numbers
from tools.testing.nginx import NAME, before, nginx
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person, build_pages, web_browser

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


async def test_the_chat_page_and_its_websocket_have_one_host(tmp_path: Path) -> None:
    """Here without TLS."""
    await build_pages()
    port = free_port()
    listen = f"127.0.0.1:{port}"
    settings = {"WEB__WS_URL": "/ws", "BLOBS__PUBLIC_URL": f"http://{listen}"}
    async with Server(tmp_path / "proxied", settings) as server, web_browser() as browser:
        changes = {
            "listen 443 ssl": f"listen {listen}",
            "listen 80": f"listen 127.0.0.1:{free_port()}",
            f"    ssl_certificate /etc/ssl/{NAME}.pem;\n": "",
            f"    ssl_certificate_key /etc/ssl/private/{NAME}.key;\n": "",
        }
        async with nginx(tmp_path / "nginx", port, changes | before(server.at)):
            people = [await Person.open(browser, f"http://{listen}", number) for number in new_numbers(2)]
            for person in people:
                await person.log_in()
            ann, ben = people
            await befriend(server, ann, ben)
            await chat_of(ann, ben)
            await chat_of(ben, ann)
            await ann.say("by way of nginx")
            await ben.sees("by way of nginx")
            picture = tmp_path / "sky.png"
            Image.new("RGB", (64, 48), "skyblue").save(picture)
            await ben.page.locator(".composer input[type=file]").set_input_files(picture)
            await ben.page.locator("dialog").get_by_role("button", name="Send", exact=True).click()
            await expect(ann.page.locator(".picture .whole")).to_have_count(1)
            assert [fault for person in people for fault in person.faults] == []
            for person in people:
                await person.context.close()
