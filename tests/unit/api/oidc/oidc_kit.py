"""A browser that logs in by OpenID Connect, and what tests look at afterwards."""

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

from yarl import URL

from fsharechat.store.unit import Dialect, Query, Unit
from tests.unit.api.api_kit import ApiAnswer, Site
from tools.testing.fake_provider import FakeProvider

PUBLIC = "http://localhost:8081"
PAGE = {"X-Requested-With": "fsharechat"}
EMAIL = "ann@corp.example"


class Browser:
    """A browser that logs in: it has cookies, and follows no redirect by itself."""

    def __init__(self, site: Site, provider: FakeProvider) -> None:
        self.site = site
        self.provider = provider
        self.cookies: dict[str, str] = {}

    async def get(self, path: str | URL) -> tuple[int, str]:
        asked = self.site.http.get(path, headers=self._headers(), allow_redirects=False)
        async with asked as response:
            found: SimpleCookie = response.cookies
            self.cookies |= {name: one.value for name, one in found.items()}
            self.attributes = {name: dict(one) for name, one in found.items()}
            return response.status, response.headers.get("Location", "")

    async def begin(self) -> str:
        status, where = await self.get("/oidc/begin")
        assert status == 302
        return where

    async def come_back(self, where: str) -> str:
        """Return to which page the browser is sent."""
        assert where.startswith(f"{PUBLIC}/oidc/callback?")
        status, page = await self.get(where.removeprefix(PUBLIC))
        assert status == 302
        return page

    async def go(self) -> str:
        return await self.come_back(self.provider.log_in(await self.begin()))

    async def finish(self, client_id: str = "web-1", **more: str) -> ApiAnswer:
        headers = {**self._headers(), **PAGE, "Accept-Language": "en"}
        return await self.site.post("/oidc/login", {"clientId": client_id, **more}, **headers)

    async def log_in(self, client_id: str = "web-1", **more: str) -> ApiAnswer:
        assert await self.go() == "/#oidc=done"
        return await self.finish(client_id, **more)

    def _headers(self) -> dict[str, str]:
        return {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


def failed(site: Site) -> list[tuple[str, str]]:
    return [(line["why"], line["reason"]) for line in site.logs if line["event"] == "company login failed"]


def profile(uid: str) -> Callable[[Dialect], Unit[Any]]:
    def read(_: Dialect) -> Unit[Any]:
        sql = "SELECT number, name, display_name, email, mobile FROM users WHERE uid = ?"
        return (yield Query(sql, (uid,))).rows[0]

    return read
