"""Company accounts of a real Keycloak: people log in on the page and in the terminal. One start serves all tests."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from fsharechat.client import Client, login
from tools.services.keycloak import ADMIN
from tools.services.keycloak import PASSWORD as ADMIN_PASSWORD
from tools.services.service import free_port
from tools.testing.server import BOUND, SUPER_CODE, Server, until
from tools.testing.services import Services
from tools.testing.web import Person, build_pages, web_browser

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

REALM, CLIENT, SECRET, PASSWORD = "corp", "chat", "secret:of/the client", "a password of the tests"
LABEL = "Account of Corp Ltd"


class Company(NamedTuple):
    """The server, and the Keycloak with the accounts."""

    server: Server
    services: Services
    issuer: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def company(tmp_path_factory: pytest.TempPathFactory, services: Services) -> AsyncIterator[Company]:
    url = services("keycloak").url("keycloak")
    await build_pages()
    port = free_port()
    public = f"http://127.0.0.1:{port}"
    await make_realm(url, f"{public}/oidc/callback")
    settings = {
        "API__PORT": str(port),
        "OIDC__ISSUER": f"{url}/realms/{REALM}",
        "OIDC__CLIENT_ID": CLIENT,
        "OIDC__CLIENT_SECRET": SECRET,
        "OIDC__PUBLIC_URL": public,
        "OIDC__LABEL": LABEL,
    }
    folder: Path = tmp_path_factory.mktemp("company")
    async with Server(folder / "data", settings) as server:
        yield Company(server, services, settings["OIDC__ISSUER"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with web_browser() as opened:
        yield opened


async def make_realm(url: str, redirect_uri: str) -> None:
    """Make the realm with its client and two users, by the administrators' API of Keycloak."""
    people = [("ann", "Ann", True), ("ben", "Ben", False)]
    realm = {
        "realm": REALM,
        "enabled": True,
        "clients": [
            {
                "clientId": CLIENT,
                "secret": SECRET,
                "redirectUris": [redirect_uri],
                "attributes": {
                    "oauth2.device.authorization.grant.enabled": "true",
                    "pkce.code.challenge.method": "S256",
                },
            }
        ],
        "users": [
            {
                "username": name,
                "enabled": enabled,
                "email": f"{name}@corp.example",
                "emailVerified": True,
                "firstName": first,
                "lastName": "Example",
                "credentials": [{"type": "password", "value": PASSWORD}],
            }
            for name, first, enabled in people
        ],
    }
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=BOUND)) as http:
        form = {
            "grant_type": "password",
            "client_id": "admin-cli",
            "username": ADMIN,
            "password": ADMIN_PASSWORD,
        }
        async with http.post("/realms/master/protocol/openid-connect/token", data=form) as answer:
            token = (await answer.json())["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        async with http.delete(
            f"/admin/realms/{REALM}"
        ) as answer:  # of a run before, where the services stay
            assert answer.status in (204, 404)
        async with http.post("/admin/realms", json=realm) as answer:
            assert answer.status == 201, await answer.text()


@asynccontextmanager
async def person(company: Company, browser: Browser) -> AsyncIterator[Person]:
    opened = await Person.open(browser, company.server.at.http, "")
    try:
        yield opened
    finally:
        await opened.context.close()


async def fill_in(page: Page, name: str) -> None:
    """Log in on Keycloak's own page."""
    await page.locator("#username").fill(name)
    await page.locator("#password").fill(PASSWORD)
    await page.locator("#kc-login").click()


async def test_a_person_logs_in_on_the_page_and_the_address_is_of_no_use_to_another_browser(
    company: Company, browser: Browser
) -> None:
    async with person(company, browser) as ann, person(company, browser) as eve:
        addresses: list[str] = []
        ann.page.on("request", lambda request: addresses.append(request.url))
        await ann.page.get_by_role("link", name=LABEL).click()
        assert ann.page.url.startswith(f"{company.issuer}/protocol/openid-connect/auth?")
        await fill_in(ann.page, "ann")
        await expect(ann.page.locator("nav")).to_be_visible()
        assert "oidc" not in ann.page.url
        (back,) = [address for address in addresses if "/oidc/callback?" in address]
        by_code = await login(company.server.at.http, "ann@corp.example", SUPER_CODE, "phone")
        assert by_code.user_id == await ann.uid
        async with Client(by_code, **company.server.at.of("tcp")) as client:
            (profile,) = await client.search_users("ann@corp.example")
        assert profile.display_name == "Ann Example"
        assert ann.faults == []

        await eve.page.goto(back)
        await expect(eve.page.get_by_role("alert")).to_contain_text("took too long, or is already done")
        # The right state, but the code was used: Keycloak itself refuses it, so does this server.
        for address in (back, re.sub(r"state=[^&]+", "state=another", back)):
            await eve.page.goto(f"{company.server.at.http}/oidc/begin")
            await eve.page.goto(address)
            await expect(eve.page.get_by_role("alert")).to_contain_text("took too long, or is already done")
        assert re.search(r"code=([^&]+)", back)[1] not in company.server.errors  # type: ignore[index]  # it is there
        assert SECRET not in company.server.errors


async def test_an_account_that_was_disabled_does_not_come_in(company: Company, browser: Browser) -> None:
    async with person(company, browser) as ben:
        await ben.page.get_by_role("link", name=LABEL).click()
        await fill_in(ben.page, "ben")
        await expect(ben.page.locator(".kc-feedback-text, [id^=input-error]").first).to_contain_text(
            "disabled"
        )
        await ben.page.goto(company.server.at.http)
        await expect(ben.page.locator('[name="number"]')).to_be_visible()


async def test_a_terminal_is_logged_in_from_a_browser_elsewhere(
    company: Company, browser: Browser, tmp_path: Path
) -> None:
    at = company.server.at
    command = [sys.executable, "-P", "-m", "fsharechat", "chat", "--company"]
    command += ["--http", at.http, "--tcp", at.tcp, "--state", str(tmp_path)]
    pipe = asyncio.subprocess.PIPE
    chat = await asyncio.create_subprocess_exec(
        *command,
        stdin=pipe,
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert chat.stdin is not None
    assert chat.stdout is not None
    try:
        async with asyncio.timeout(BOUND):
            opened = re.match(r"Open (\S+) in a browser", (await chat.stdout.readline()).decode())
        assert opened is not None
        async with person(company, browser) as ann:
            await ann.page.goto(opened[1])
            await fill_in(ann.page, "ann")
            await ann.page.locator('[name="accept"]').click()
            await expect(ann.page.get_by_text("Device Login Successful")).to_be_visible()
        await until(lambda: terminals(company.server), "the terminal is not logged in")
        said, _ = await asyncio.wait_for(chat.communicate(b"/quit\n"), BOUND)
        assert chat.returncode == 0, said.decode()
    finally:
        if chat.returncode is None:
            chat.kill()
            await chat.wait()
    (entered,) = terminals(company.server)
    assert entered["uid"] == (await login(at.http, "ann@corp.example", SUPER_CODE, "phone")).user_id


def terminals(server: Server) -> list[dict[str, Any]]:
    return [one for one in server.logged("login") if one["client_id"].startswith("terminal-")]


async def test_a_keycloak_that_is_away_is_said_and_codes_still_log_in(
    company: Company, browser: Browser
) -> None:
    await company.server.stop()
    company.services.do("kill", "keycloak")
    try:
        await company.server.start()
        async with person(company, browser) as cat:
            await cat.page.get_by_role("link", name=LABEL).click()
            await expect(cat.page.get_by_role("alert")).to_contain_text("cannot be reached")
            cat.number = "13800000001"
            await cat.log_in()
    finally:
        company.services.do("start", "keycloak")
