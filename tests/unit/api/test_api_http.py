"""HTTP around the login: pages from elsewhere, bad bodies, being alive."""

import asyncio
import re
import shutil
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from fsharechat import __version__, clock
from fsharechat.blobs import BUCKETS
from fsharechat.bus.memory import MemoryBus
from fsharechat.process import ROOM_BYTES
from fsharechat.protocol.signals import LoginCode
from fsharechat.registry.memory import MemoryRegistry
from fsharechat.store.sqlite import SqliteStore
from roles.api.back_office import ENDPOINTS
from roles.group import login
from tests.unit.api.api_kit import KEY, Site

ORIGIN = "https://chat.example"


async def test_a_preflight_of_an_allowed_page_is_granted(site: Site) -> None:
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-requested-with",
    }
    for path in ("/send_code", "/login"):
        async with site.http.options(path, headers=headers) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
            assert response.headers["Access-Control-Allow-Headers"] == "content-type, x-requested-with"
            assert int(response.headers["Access-Control-Max-Age"]) > 0
            assert response.headers["Vary"] == "Origin"


async def test_a_preflight_of_another_page_is_refused(site: Site) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    async with site.http.options("/login", headers=headers) as response:
        assert response.status == 403
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_no_page_may_ask_the_back_office(site: Site, method: str) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": method}
    for path in sorted({endpoint.path for endpoint in ENDPOINTS}):
        async with site.http.options(path, headers=headers) as response:
            assert response.status == 403, path
            assert "Access-Control-Allow-Origin" not in response.headers, path
        async with site.http.request(method, path, headers={"Origin": ORIGIN}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers, path


@pytest.mark.parametrize("body", [{"mobile": "13812345678"}, {"mobile": "x"}, b"no JSON"], ids=str)
async def test_every_answer_may_be_read_by_an_allowed_page_alone(site: Site, body: object) -> None:
    allowed = await site.post("/send_code", body, Origin=ORIGIN)
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    other = await site.post("/send_code", body, Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in other.headers
    plain = await site.post("/send_code", body)
    assert "Access-Control-Allow-Origin" not in plain.headers


@pytest.mark.parametrize(("method", "path"), [("GET", "/login"), ("GET", "/nothing"), ("POST", "/nothing")])
async def test_an_error_of_http_may_be_read_by_an_allowed_page(site: Site, method: str, path: str) -> None:
    async with site.http.request(method, path, headers={"Origin": ORIGIN}) as response:
        assert response.status in (404, 405)
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"mobile=13812345678",
        b"\xff\xfe",
        b"[]",
        b'"13812345678"',
        b"null",
        b"{}",
        b'{"mobile": ""}',
        b'{"mobile": "' + b"1" * 256 + b'"}',
        b"[" * 5000,
        b'{"mobile": "\\ud800"}',
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a_body_that_is_no_request_is_a_bad_request(site: Site, body: bytes) -> None:
    for path in ("/send_code", "/login"):
        answer = await site.post(path, body)
        assert (answer.status, answer.code, answer.body["result"]) == (400, LoginCode.SERVER_ERROR, None)
        assert answer.body["message"]


@pytest.mark.parametrize(
    "deep", [b"[" * 1000 + b"]" * 1000, b'{"a":' * 1000 + b"1" + b"}" * 1000], ids=["arrays", "objects"]
)
@pytest.mark.parametrize("field", ["mobile", "code", "clientId", "other"])
async def test_what_is_nested_deep_is_a_bad_request(site: Site, field: str, deep: bytes) -> None:
    texts = dict.fromkeys(("mobile", "code", "clientId"), b'"x"') | {field: deep}
    body = b",".join(b'"%s": %s' % (name.encode(), text) for name, text in texts.items())
    answer = await site.post("/login", b"{" + body + b"}")
    assert answer.status == (200 if field == "other" else 400)
    assert answer.code == (
        LoginCode.INVALID_NUMBER if field in ("mobile", "other") else LoginCode.SERVER_ERROR
    )
    assert [line["event"] for line in site.logs if line["log_level"] == "error"] == []


async def test_the_back_office_refuses_what_is_nested_deep(site: Site) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    fields = [(one, field) for one in ENDPOINTS if one.body for field in one.body.model_fields]
    assert len(fields) > 20
    for endpoint, field in fields:
        body = b'{"%s": %s}' % (field.encode(), b'{"a":' * 1000 + b"1" + b"}" * 1000)
        path = re.sub(r"\{\w+\}", "ann", endpoint.path)
        async with site.http.request(endpoint.method, path, data=body, headers=headers) as response:
            assert response.status == 400, f"{endpoint.path}: {field}"
    assert [line["event"] for line in site.logs if line["log_level"] == "error"] == []


@pytest.mark.parametrize("missing", ["mobile", "code", "clientId"])
async def test_a_login_has_all_of_its_fields(site: Site, missing: str) -> None:
    body = {"mobile": "13812345678", "code": "123456", "clientId": "phone"}
    del body[missing]
    answer = await site.post("/login", body)
    assert answer.status == 400
    assert missing in answer.body["message"]


async def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    async with site.http.post("/login", data=b" " * 65_537) as response:
        assert response.status == 413


ROUTES = sorted(
    {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    | {("POST", "/login"), ("POST", "/send_code"), ("GET", "/monitor/alive"), ("GET", "/docs")}
    | {("PUT", f"/media/{bucket}/a.png") for bucket in BUCKETS.values()}
    | {("POST", "/nothing"), ("DELETE", "/login")}
)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
async def test_nothing_is_decompressed_on_any_path(site: Site, encoding: str) -> None:
    headers = {"Content-Encoding": encoding, "Authorization": f"Bearer {KEY}", "Origin": ORIGIN}
    broken = b"no stream of any kind"  # which who decompresses it finds
    for method, path in ROUTES:
        async with site.http.request(method, path, data=broken, headers=headers) as response:
            assert response.status == 415, f"{method} {path}"
            assert (await response.json())["code"] == 415


async def test_a_body_that_says_it_is_as_it_is_is_read(site: Site) -> None:
    answer = await site.post("/send_code", {"mobile": "x"}, **{"Content-Encoding": "identity"})
    assert (answer.status, answer.code) == (200, LoginCode.INVALID_NUMBER)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/send_code", b"{", 400),
        ("/nothing", b"", 404),
        ("/login", b" " * 65_537, 413),
        ("/send_code", b"{}", 400),
    ],
)
async def test_a_refused_request_is_a_line_of_debugging(
    site: Site, path: str, body: bytes, status: int
) -> None:
    async with site.http.post(path, data=body):
        pass
    line = {"event": "request refused", "log_level": "debug", "method": "POST", "path": path}
    assert line | {"status": status, "address": "127.0.0.1"} in site.logs


async def test_a_refused_login_is_a_line_of_debugging(site: Site) -> None:
    await site.login("123456", "x")
    (line,) = [dict(line) for line in site.logs if line["event"] == "login refused"]
    assert line.pop("trace").startswith("http#")
    said = {"event": "login refused", "log_level": "debug", "path": "/login", "address": "127.0.0.1"}
    assert line == said | {"code": LoginCode.INVALID_NUMBER}


async def test_a_fault_behind_it_is_a_server_error_without_details(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a detail")

    monkeypatch.setattr(login, "normal_number", fail)
    with capture_logs() as logs:
        answer = await site.send_code()
    assert (answer.code, answer.body["message"]) == (LoginCode.SERVER_ERROR, "服务器错误，请稍后再试")
    assert [line["event"] for line in logs] == ["request failed"]


async def test_a_store_that_is_away_is_a_server_error(site: Site) -> None:
    code = await site.new_code()
    await site.node.store.close()
    site.now += 60_000
    assert (await site.send_code()).code == LoginCode.SERVER_ERROR
    assert (await site.login(code)).code == LoginCode.SERVER_ERROR


async def monitor(site: Site, what: str) -> tuple[int, dict[str, Any]]:
    async with site.http.get(f"/monitor/{what}") as response:
        return response.status, await response.json()


async def test_alive_is_200_whether_it_is_ready_or_not(site: Site) -> None:
    for ready in (True, False):
        site.node.ready = ready
        assert await monitor(site, "alive") == (200, {"code": 200, "version": __version__})


async def test_ready_says_what_each_part_says(site: Site) -> None:
    parts = [
        "process",
        "clock",
        "registry",
        "bus",
        "store",
        "media",
        "group's node id",
        "connector's node id",
    ]
    assert await monitor(site, "ready") == (200, {"code": 200, "parts": dict.fromkeys(parts, "ok")})


async def test_a_process_that_drains_is_not_ready(site: Site) -> None:
    site.node.ready = False
    status, said = await monitor(site, "ready")
    assert (status, said["code"], said["parts"]["process"]) == (503, 503, "it starts")


async def test_a_store_that_cannot_write_is_not_ready(site: Site) -> None:
    store = site.node.store
    assert isinstance(store, SqliteStore)
    await asyncio.to_thread(store._connection.execute, "PRAGMA query_only = ON")
    status, said = await monitor(site, "ready")
    assert (status, said["parts"]["store"]) == (503, "attempt to write a readonly database")
    await asyncio.to_thread(store._connection.execute, "PRAGMA query_only = OFF")
    site.node.health._found_at = 0.0  # what was found is old
    assert (await monitor(site, "ready"))[0] == 200


async def test_a_disk_that_is_nearly_full_is_not_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=ROOM_BYTES - 1))
    status, said = await monitor(site, "ready")
    assert status == 503
    assert "the disk is full, 16383 KiB are left" in said["parts"]["store"]


async def test_a_clock_of_before_2020_is_not_ready(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now_ms", lambda: 1_262_304_000_000)
    status, said = await monitor(site, "ready")
    assert (status, said["parts"]["clock"]) == (503, clock.problem())


async def test_a_bus_and_a_registry_that_are_away_are_told_and_do_no_harm(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBus, "away", "kafka:9092: no broker answers")
    monkeypatch.setattr(MemoryRegistry, "away", "ZooKeeper cannot be reached")
    status, said = await monitor(site, "ready")
    assert status == 200
    assert said["parts"]["bus"] == "degraded: kafka:9092: no broker answers"
    assert said["parts"]["registry"] == "degraded: ZooKeeper cannot be reached"


async def test_a_process_that_has_stopped_listens_no_more(site: Site) -> None:
    await site.node.__aexit__()
    with pytest.raises(aiohttp.ClientConnectionError):
        await site.send_code()
