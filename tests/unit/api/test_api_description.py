"""The OpenAPI description and its page: true to the routes that there are, and to what they answer."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from fsharechat.store import abuse, groups
from fsharechat.store.abuse import AbuseReport
from fsharechat.store.groups import Info, NewMember
from fsharechat.store.unit import Dialect, Query, Unit
from roles.api.app import make_app
from roles.api.back_office import ENDPOINTS
from roles.api.docs.description import describe, routes
from tests.unit.api.api_kit import NUMBER, Site
from tests.unit.api.office_kit import GROUP_PUSH, PUSH, Desk

LOGGING_IN = {"postAdminSession", "deleteAdminSession", "putAdminSessionPassword"}
SILENCED = {"type": "silenced"}
PASSWORD = {"password": "correct horse"}
ACCOUNT = {"name": "ann", "role": "read", **PASSWORD}
METHODS = {"get", "put", "post", "delete", "patch", "options", "head", "trace"}


@pytest.fixture
async def document(site: Site) -> dict[str, Any]:
    async with site.http.get("/imopenapi/openapi.json") as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        found: dict[str, Any] = await response.json()
        return found


async def test_every_route_is_described_and_nothing_else(site: Site, document: dict[str, Any]) -> None:
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == routes(make_app(site.node))
    assert {("POST", "/login"), ("POST", PUSH), ("GET", "/admin/users/{user}")} < described


async def test_it_is_a_whole_description_of_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"].keys() >= {"title", "version"}
    ids = set()
    for path, methods in document["paths"].items():
        assert methods.keys() <= METHODS
        for operation in methods.values():
            ids.add(operation["operationId"])
            assert operation["summary"]
            assert all(response["description"] for response in operation["responses"].values())
            places = [(one["name"], one["in"]) for one in operation["parameters"]]
            assert len(set(places)) == len(places)
            in_path = {name for name, where in places if where == "path"}
            assert in_path == set(re.findall(r"{(\w+)}", path))
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
    assert len(ids) == sum(map(len, document["paths"].values()))


async def test_its_references_lead_somewhere_and_its_schemas_are_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    found = set(re.findall(r"'#/components/schemas/(\w+)'", str(document)))
    assert found == schemas.keys() & found
    assert schemas.keys() - found == set()


async def test_the_back_office_alone_needs_the_key(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            asks = operation["operationId"] not in LOGGING_IN
            guarded = path.startswith("/admin/") and asks
            assert ("security" in operation) is (guarded or path in (PUSH, GROUP_PUSH))


ACCOUNT_KEY = bytes(32)


def bind(_: Dialect, uid: str) -> Unit[None]:
    columns = "account, issuer, subject, uid, bound_ms"
    row = (ACCOUNT_KEY, "https://id.example", "ann", uid, 1)
    yield Query(f"INSERT INTO oidc_accounts ({columns}) VALUES (?, ?, ?, ?, ?)", row)


async def test_what_is_answered_is_as_it_is_described(site: Site, document: dict[str, Any]) -> None:
    desk = Desk(site)
    uid = (await site.login(await site.new_code())).body["result"]["userId"]
    write = site.node.store.write
    await write(groups.create, Info("g1", "Chess", "", uid, 0, "", 1, False, 7, 7))
    await write(groups.put_members, "g1", [NewMember(uid, 2)], 5)
    await write(abuse.keep, AbuseReport(7, uid, "u", 0, "spam", b"", 5), 9)
    ben = await desk.user("ben@example.com")
    await write(groups.put_members, "g1", [NewMember(uid, 2), NewMember(ben, 0)], 5)
    await write(bind, uid)
    invitation = (await desk.ask("POST", "/admin/invitations", {})).body["result"]["id"]
    asked: list[tuple[str, str, str, object]] = [
        ("POST", PUSH, PUSH, {"mobiles": [NUMBER, "x"], "content": {"content": {"type": 1}}}),
        ("POST", GROUP_PUSH, GROUP_PUSH, {"groups": ["g1", "x"], "content": {"content": {"type": 1}}}),
        ("POST", "/admin/users", "/admin/users", {"number": "ann@example.com"}),
        ("GET", "/admin/users", "/admin/users?limit=1", None),
        ("GET", "/admin/users/{user}", f"/admin/users/{uid}", None),
        ("PUT", "/admin/users/{user}/status", f"/admin/users/{uid}/status", {"status": "normal"}),
        ("PUT", "/admin/users/{user}/robot", f"/admin/users/{uid}/robot", {"robot": True}),
        ("GET", "/admin/users/{user}/sessions", f"/admin/users/{uid}/sessions", None),
        ("GET", "/admin/sessions", "/admin/sessions", None),
        (
            "DELETE",
            "/admin/users/{user}/sessions/{clientId}",
            f"/admin/users/{uid}/sessions/phone",
            None,
        ),
        ("DELETE", "/admin/users/{user}/sessions", f"/admin/users/{uid}/sessions", None),
        ("GET", "/admin/groups", "/admin/groups", None),
        ("GET", "/admin/groups/{group}", "/admin/groups/g1", None),
        ("PUT", "/admin/groups/{group}/members/{member}", f"/admin/groups/g1/members/{ben}", SILENCED),
        ("PUT", "/admin/groups/{group}/owner", "/admin/groups/g1/owner", {"owner": ben}),
        ("DELETE", "/admin/groups/{group}", "/admin/groups/g1", None),
        ("GET", "/admin/users/{user}/accounts", f"/admin/users/{uid}/accounts", None),
        (
            "DELETE",
            "/admin/users/{user}/accounts/{id}",
            f"/admin/users/{uid}/accounts/{ACCOUNT_KEY.hex()}",
            None,
        ),
        ("GET", "/admin/users/{user}/export", f"/admin/users/{uid}/export", None),
        ("POST", "/admin/words", "/admin/words", {"words": ["gold"]}),
        ("GET", "/admin/words", "/admin/words", None),
        ("POST", "/admin/words/remove", "/admin/words/remove", {"words": ["gold"]}),
        ("POST", "/admin/users/{user}/code", f"/admin/users/{uid}/code", None),
        ("PUT", "/admin/users/{user}/number", f"/admin/users/{uid}/number", {"number": "x@example.com"}),
        ("GET", "/admin/session", "/admin/session", None),
        ("POST", "/admin/accounts", "/admin/accounts", ACCOUNT),
        ("GET", "/admin/accounts", "/admin/accounts", None),
        ("PUT", "/admin/accounts/{account}/role", "/admin/accounts/ann/role", {"role": "people"}),
        ("PUT", "/admin/accounts/{account}/password", "/admin/accounts/ann/password", PASSWORD),
        ("DELETE", "/admin/accounts/{account}", "/admin/accounts/ann", None),
        ("GET", "/admin/audit", "/admin/audit?limit=500", None),
        ("GET", "/admin/processes", "/admin/processes", None),
        ("GET", "/admin/settings", "/admin/settings", None),
        ("POST", "/admin/robots", "/admin/robots", {"uid": "r", "name": "R", "agent": "http://h"}),
        ("GET", "/admin/robots", "/admin/robots", None),
        ("GET", "/admin/robots/{robot}", "/admin/robots/r", None),
        ("PUT", "/admin/robots/{robot}", "/admin/robots/r", {"name": "Other"}),
        ("DELETE", "/admin/robots/{robot}", "/admin/robots/r", None),
        ("POST", "/admin/bots", "/admin/bots", {"name": "ci"}),
        ("GET", "/admin/bots", "/admin/bots", None),
        ("DELETE", "/admin/bots/{bot}", "/admin/bots/ci", None),
        ("POST", "/admin/invitations", "/admin/invitations", {"invitee": "ann@example.com", "count": 2}),
        ("GET", "/admin/invitations", "/admin/invitations", None),
        ("DELETE", "/admin/invitations/{invitation}", f"/admin/invitations/{invitation}", None),
        ("GET", "/admin/reports", "/admin/reports", None),
        ("DELETE", "/admin/reports/{report}", "/admin/reports/7", None),
        ("DELETE", "/admin/users/{user}", f"/admin/users/{uid}", None),
    ]
    described = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "security" in operation
    }
    assert {(method, path) for method, path, _, _ in asked} == described
    for method, path, url, body in asked:
        operation = document["paths"][path][method.lower()]
        if body is not None:
            check(document, operation["requestBody"]["content"]["application/json"]["schema"], body)
        answer = await desk.ask(method, url, body)
        assert answer.status == 200, (method, url, answer.body)
        check(document, schema_of(operation, 200), answer.body)
    refused = await desk.ask("GET", "/admin/users/nobody")
    check(document, schema_of(document["paths"]["/admin/users/{user}"]["get"], 404), refused.body)
    login = await site.login("000000", "13900000000")
    check(document, schema_of(document["paths"]["/login"]["post"], 200), login.body)


def schema_of(operation: dict[str, Any], status: int) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"][str(status)]["content"]["application/json"]["schema"]
    return found


def check(document: dict[str, Any], schema: dict[str, Any], value: object) -> None:
    """Fail unless a value is of a schema, and each object has only what its schema names."""
    whole = strict({**schema, "components": document["components"]})
    assert [error.message for error in Draft202012Validator(whole).iter_errors(value)] == []


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


class PageReader(HTMLParser):
    """Notes the texts of a page and what it would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe", "object"):
            self.loads.append(tag)
        self.loads += [name for name, _ in attrs if name.startswith("on") or name == "src"]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


async def test_the_page_shows_every_route_and_loads_nothing(site: Site, document: dict[str, Any]) -> None:
    async with site.http.get("/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        reader = PageReader()
        reader.feed(await response.text())
    assert reader.loads == []
    for path in document["paths"]:
        assert path in reader.texts
    assert {"content.content.searchableContent", "result[].messageId", "result.users[].uid"} <= set(
        reader.texts
    )


async def test_a_route_that_nobody_has_described_is_found(site: Site) -> None:
    app = make_app(site.node)

    async def nothing(_: object) -> None:
        pass

    app.router.add_get("/nothing", nothing)  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        describe(app, ENDPOINTS)
