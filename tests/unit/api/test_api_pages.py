"""The chat page over HTTP: what is sent for which address, and what a browser is told to keep to."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from fsharechat import settings_schema as s
from fsharechat.node import Node
from roles.api import pages
from roles.api.docs.description import routes


class PageSite:
    """Serves a folder of made-up pages."""

    def __init__(self, folder: Path) -> None:
        self.built = folder / "dist"
        self.node = SimpleNamespace(
            settings=s.Settings(),
            addresses={"ws": "ws://127.0.0.1:9326/"},
            blobs=SimpleNamespace(bucket_url=lambda _: "https://media.example:9000/bucket"),
        )
        (self.built / "assets").mkdir(parents=True)
        (self.built / "index.html").write_text("<p>chat</p>")
        (self.built / "admin.html").write_text("<p>admin</p>")
        (self.built / "favicon.svg").write_text("<svg/>")
        (self.built / "assets" / "a-1f.js").write_text("let a = 1")
        (self.built / "assets" / "a-1f.js.br").write_bytes(b"packed")
        (self.built / ".stamp").write_text("1")

    def app(self) -> web.Application:
        app = web.Application()
        pages.add_routes(app, cast(Node, self.node), self.built)
        return app

    def set(self, **values: Any) -> None:
        self.node.settings = s.Settings(web=s.WebSettings(**values))


@pytest.fixture
def pages_of(tmp_path: Path) -> PageSite:
    return PageSite(tmp_path)


@pytest.fixture
async def http(pages_of: PageSite) -> AsyncIterator[ClientSession]:
    runner = web.AppRunner(pages_of.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
        yield session
    await runner.cleanup()


@pytest.mark.parametrize(("path", "text"), [("/", "<p>chat</p>"), ("/admin", "<p>admin</p>")])
async def test_a_page_runs_no_script_but_ours(http: ClientSession, path: str, text: str) -> None:
    async with http.get(path) as answer:
        assert (await answer.text(), answer.headers["Cache-Control"]) == (text, "no-cache")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = dict(
            part.split(" ", 1)
            for part in answer.headers["Content-Security-Policy"].split("; ")
            if " " in part
        )
    assert (policy["default-src"], policy["script-src"]) == ("'none'", "'self'")
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in str(policy)
    assert policy["connect-src"] == "'self' ws://127.0.0.1:9326 https://media.example:9000"
    assert policy["img-src"] == "'self' data: blob: https://media.example:9000"


async def test_what_has_a_hash_in_its_name_is_kept_for_a_year(http: ClientSession) -> None:
    async with http.get("/assets/a-1f.js", headers={"Accept-Encoding": "identity"}) as answer:
        assert await answer.text() == "let a = 1"
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_what_was_compressed_at_build_time_is_sent_so(http: ClientSession) -> None:
    asked = http.get("/assets/a-1f.js", headers={"Accept-Encoding": "br"}, auto_decompress=False)
    async with asked as answer:
        assert answer.headers["Content-Encoding"] == "br"
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert await answer.read() == b"packed"


@pytest.mark.parametrize(
    "path", ["/.stamp", "/assets/a-1f.js.br", "/assets/../.stamp", "/index.html", "/assets/"]
)
async def test_nothing_else_of_the_folder_is_sent(http: ClientSession, path: str) -> None:
    async with http.get(path) as answer:
        assert answer.status == 404


@pytest.mark.parametrize("given", ["", "wss://chat.example/ws", "/ws"])
async def test_the_page_is_told_where_its_connector_is(
    pages_of: PageSite, http: ClientSession, given: str
) -> None:
    pages_of.set(ws_url=given)
    async with http.get("/web.json") as answer:
        told = (await answer.json())["ws"]
    assert told == (given or "ws://127.0.0.1:9326/")


async def test_a_path_of_the_same_host_is_within_its_policy(pages_of: PageSite, http: ClientSession) -> None:
    pages_of.set(ws_url="/ws")
    async with http.get("/", headers={"Host": "chat.example"}) as answer:
        assert "ws://chat.example wss://chat.example " in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "host", ["a; script-src *", "a;sandbox", "a b", "a/b", "a@b", "[::1", "[:::]", "a:port", "é"]
)
@pytest.mark.parametrize(("path", "given"), [("/", "/ws"), ("/", ""), ("/web.json", "")])
async def test_a_host_that_is_none_is_refused(
    pages_of: PageSite, http: ClientSession, host: str, path: str, given: str
) -> None:
    pages_of.set(ws_url=given)
    async with http.get(path, headers={"Host": host}) as answer:
        assert answer.status == 400
        assert "Host" in await answer.text()


@pytest.mark.parametrize(
    ("host", "connector"),
    [
        ("chat.example", "ws://chat.example:9326/"),
        ("chat.example:99999", "ws://chat.example:9326/"),
        ("[::1]:8081", "ws://[::1]:9326/"),
        ("10.0.0.7:80", "ws://10.0.0.7:9326/"),
        ("..", "ws://..:9326/"),
    ],
)
async def test_the_connector_is_on_the_host_that_was_asked(
    http: ClientSession, host: str, connector: str
) -> None:
    async with http.get("/web.json", headers={"Host": host}) as answer:
        assert (await answer.json())["ws"] == connector


def test_programs_are_told_of_no_page(pages_of: PageSite) -> None:
    app = pages_of.app()
    assert len(app.router.resources()) == 5
    assert routes(app) == set()


def test_without_pages_or_where_they_are_off_there_are_no_addresses(pages_of: PageSite) -> None:
    pages_of.set(enabled=False)
    assert not pages_of.app().router.resources()
    pages_of.set()
    (pages_of.built / "index.html").unlink()
    with capture_logs() as logs:
        assert not pages_of.app().router.resources()
    assert [line["event"] for line in logs] == ["no web pages"]


@pytest.mark.parametrize(
    "address", ["http://x/", "ws://a b", "//evil.example/ws", "javascript:1", "ws://a;script-src *"]
)
def test_a_wrong_address_of_the_connector_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="must be wss://host:port"):
        s.WebSettings(ws_url=address)
