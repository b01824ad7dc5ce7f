"""The administration in a real browser, on a whole server: each page, and what its buttons do, by each role."""

import json
import re
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, Route, expect

from fsharechat.admin.office import AdminApi
from fsharechat.client import Client, Credentials, LoginError, login, text
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import BOUND_MS, ROOT, build_pages, web_browser

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

KEY = "key-of-the-back-office"
PASSWORD = "correct horse battery"
ANN, BEN = "13500000001", "13500000002"
AXE = ROOT / "roles" / "api" / "web" / "node_modules" / "axe-core" / "axe.min.js"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    await build_pages()
    folder: Path = tmp_path_factory.mktemp("admin")
    async with Server(folder / "data", {"API__KEY": KEY}) as running:
        async with AdminApi(running.at.http, KEY) as office:
            for name, role in (("root", "all"), ("eyes", "read")):
                body = {"name": name, "role": role, "password": PASSWORD}
                await office.ask("POST", "admin", "accounts", body=body)
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with web_browser() as opened:
        yield opened


class Desk:
    """An administrator at the page. `faults` is what the page threw or complained of."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.context = context
        self.page = page
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)

    @classmethod
    async def open(cls, browser: Browser, server: Server, locale: str = "en-US") -> "Desk":
        context = await browser.new_context(locale=locale)
        context.set_default_timeout(BOUND_MS)
        desk = cls(context, await context.new_page())
        await desk.page.goto(f"{server.at.http}/admin")
        await expect(desk.page.locator("form")).to_be_visible()
        desk.faults.clear()  # the browser reports that nobody was logged in
        return desk

    async def log_in(self, name: str, password: str = PASSWORD) -> None:
        await self.page.locator('[name="name"]').fill(name)
        await self.page.locator('[name="password"]').fill(password)
        await self.page.locator("form .primary").click()

    async def go(self, name: str) -> None:
        await self.page.locator("nav").get_by_role("link", name=name, exact=True).click()
        await expect(self.page.locator("h2")).to_have_text(name)

    async def answer(self, **values: str) -> None:
        """Fill in the dialog and say yes. It closes when the server has done it."""
        dialog = self.page.locator("dialog")
        for name, value in values.items():
            field = dialog.locator(f'[name="{name}"]')
            if await field.evaluate("field => field.tagName") == "SELECT":
                await field.select_option(value)
            else:
                await field.fill(value)
        await dialog.locator('[type="submit"]').click()
        await expect(dialog).to_have_count(0)

    async def click(self, selector: str, text: str | None = None) -> None:
        await self.page.locator(selector, has_text=text).first.click()

    async def audit(self) -> None:
        """Fail if axe finds something serious on the page."""
        await self.page.evaluate(AXE.read_text())
        found = await self.page.evaluate(
            "async () => (await axe.run()).violations.filter(one => ['serious', 'critical'].includes(one.impact))"
            ".map(one => `${one.id}: ${one.nodes.map(node => node.html).join(' ')}`)"
        )
        assert found == []


async def with_fake_warnings(page: Page, *warnings: str) -> None:
    """Have the server tell these: a busy machine has some, and its clock cannot be made wrong."""

    async def answer(route: Route) -> None:
        real = await route.fetch()
        body = await real.json()
        body["result"]["warnings"] = warnings
        await route.fulfill(response=real, json=body)

    await page.unroute("**/admin/processes")
    await page.route("**/admin/processes", answer)


async def test_an_administrator_does_everything(server: Server, browser: Browser) -> None:
    phones = [await login(server.at.http, number, SUPER_CODE, "phone") for number in (ANN, BEN)]
    ann, ben = phones[0].user_id, phones[1].user_id
    async with Client(phones[0], **server.at.of("ws")) as client:
        group = await client.groups.create("Chess", [ben])
        await client.report_user(ben, "cheats at chess")
        desk = await Desk.open(browser, server)
        page = desk.page
        await desk.log_in("root", "wrong")
        await expect(page.get_by_role("alert")).to_have_text("The name or the password is wrong.")
        desk.faults.clear()  # the browser reports the status of a refused login
        await desk.audit()
        await desk.log_in("root")

        await expect(page.locator(".processes tbody tr")).to_have_count(1)
        await with_fake_warnings(page, "b: its clock is 99 s ahead")
        await expect(page.locator(".warnings li")).to_have_text("b: its clock is 99 s ahead")
        await expect(page.locator(".tag").first).to_have_text("Something is wrong")
        await with_fake_warnings(page)
        await expect(page.locator(".tag").first).to_have_text("Everything is well")
        await expect(page.locator(".warnings")).to_have_count(0)
        await expect(page.locator("figure")).to_have_count(4)
        await expect(page.locator("figure strong").first).to_have_text("1")
        await desk.audit()

        await desk.go("Users")
        await page.locator('[name="search"]').fill(ANN)
        await expect(page.locator("tbody tr")).to_have_count(1)
        await desk.audit()
        await page.locator("tbody a").click()
        await desk.click(".doings .mute")
        await desk.answer()
        await expect(page.locator("h2 .tag")).to_have_text("Muted")
        await desk.click(".doings .normal")
        await desk.answer()
        await desk.click(".doings .number")
        await desk.answer(number="ann@example.com")
        await expect(page.locator(".facts")).to_contain_text("ann@example.com")
        await desk.audit()
        await desk.click(".doings .code")
        await desk.answer()
        code = await page.locator(".made strong").inner_text()
        assert (await login(server.at.http, "ann@example.com", code, "other")).user_id == ann
        await desk.click(".doings .robot")
        await desk.answer()
        await expect(page.locator("h2 .tag.robot")).to_be_visible()
        await desk.click(".doings .robot")
        await desk.answer()
        await expect(page.locator("h2 .tag.robot")).to_have_count(0)
        await desk.click(".devices button", "Log out")
        await desk.answer(logout="false")
        await expect(page.locator(".devices tbody tr")).to_have_count(2)
    await desk.click(".devices button", "Log out")
    await desk.answer()
    await desk.click(".doings .block")
    await desk.answer()
    with pytest.raises(LoginError):
        await login(server.at.http, "ann@example.com", SUPER_CODE, "phone")

    await desk.go("Users")
    await desk.click(".create")
    await desk.answer(number="13500000003", displayName="Cid")
    await expect(page.locator("h2")).to_contain_text("Cid")

    await desk.go("Reports")
    await page.locator('[name="user"]').fill(ben)
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text("cheats at chess")
    await desk.audit()
    await desk.click("tbody button", "Done")
    await desk.answer()
    await expect(page.locator("tbody")).not_to_contain_text("cheats at chess")

    await desk.go("Bots")
    await desk.click(".create")
    await desk.answer(name="ci")
    token = await page.locator(".made strong").inner_text()
    async with Client(Credentials.from_bot_token(token), **server.at.of("ws")):
        pass
    await desk.audit()
    await desk.click("tbody button", "Take back")
    await desk.answer()
    await expect(page.locator("tbody .tag.bad")).to_have_text("Taken back")
    await expect(page.locator(".made")).to_have_count(0)
    await desk.click("tbody button", "New token")
    await desk.answer()
    await expect(page.locator(".made strong")).not_to_have_text(token)

    await desk.go("Send messages")
    await page.locator('[name="numbers"]').fill(f"{BEN}\n13599999999")
    await page.locator('[name="text"]').fill("Closed on Sunday")
    await desk.click("form .primary")
    await desk.answer()
    await expect(page.locator(".outcomes tbody tr")).to_have_text(
        [re.compile("Sent"), re.compile("Nobody has it")]
    )
    await desk.audit()

    await desk.go("Invitations")
    await desk.click(".create")
    await desk.answer(count="3", days="30")
    assert len(await page.locator(".made strong").inner_text()) == 16
    await desk.audit()
    await desk.click(".create")
    await desk.answer(invitee="@Example.org")
    await expect(page.locator(".made")).to_have_count(0)
    invited = page.locator("tbody tr", has_text="@example.org")
    await expect(invited).to_contain_text("0 / 1")
    await invited.locator("button").click()
    await desk.answer()
    await expect(invited.locator(".tag.bad")).to_have_text("Over")

    await desk.go("Groups")
    await page.locator("tbody a", has_text="Chess").click()
    await desk.click(".silence")
    await desk.answer()
    await expect(page.locator("tbody .tag.bad")).to_have_text("Silenced")
    await desk.audit()
    await desk.click(".owner")
    await desk.answer()
    await expect(page.locator(".facts")).to_contain_text(ben)
    await desk.click(".dismiss")
    await desk.answer()
    await expect(page.locator("h2 .tag")).to_have_text("Dismissed")

    await desk.go("Sensitive words")
    await desk.click(".add")
    await desk.answer(words="gold\nlead")
    await expect(page.locator("tbody tr")).to_have_count(2)
    await desk.click("tbody tr:first-child button")
    await desk.answer()
    await expect(page.locator("tbody tr")).to_have_count(1)

    await desk.go("Robots")
    await desk.click(".create")
    await desk.answer(uid="robot", name="Robby", agent="http://127.0.0.1:9")
    await expect(page.locator("tbody")).to_contain_text("Robby")
    await desk.click("tbody button", "Remove")
    await desk.answer()
    await expect(page.locator("tbody")).not_to_contain_text("Robby")

    await desk.go("Administrators")
    await desk.click(".add")
    await desk.answer(name="helper", role="people", password=PASSWORD)
    await desk.click("tbody tr:has-text('helper') .role")
    await desk.answer(role="read")
    await expect(page.locator("tbody tr", has_text="helper")).to_contain_text("Read only")
    await desk.click("tbody tr:has-text('helper') .danger")
    await desk.answer()
    await expect(page.locator("tbody tr", has_text="helper")).to_have_count(0)

    await desk.go("Settings")
    await expect(page.locator("tbody tr")).to_have_count(50)
    await desk.click(".next")
    await expect(page.locator("tbody")).not_to_contain_text("node.data")
    await page.locator('[name="search"]').fill("api.key")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(page.locator("tbody")).to_contain_text("***")

    await desk.go("Audit log")
    await expect(page.locator("tbody tr").first).to_contain_text("Administrator removed")
    await page.locator('[name="target"]').fill(group)
    await expect(page.locator("tbody tr")).to_have_count(3)
    await desk.audit()
    await page.locator(".leave").click()
    await expect(page.locator('[name="password"]')).to_be_visible()
    assert desk.faults == []
    await desk.context.close()


async def test_a_user_is_exported_and_deleted(server: Server, browser: Browser, tmp_path: Path) -> None:
    numbers = ("13500000004", "13500000005")
    ann, ben = [await login(server.at.http, number, SUPER_CODE, "phone") for number in numbers]
    async with Client(ann, **server.at.of("ws")) as first, Client(ben, **server.at.of("ws")) as second:
        await first.add_friend(ben.user_id, "hello")
        await second.handle_friend_request(ann.user_id)
        await first.send(ben.user_id, text("keep this"))
        await first.media.send_file(ben.user_id, b"the whole file", name="notes.txt")
    desk = await Desk.open(browser, server)
    await desk.log_in("root")
    await desk.go("Users")
    await desk.page.locator('[name="search"]').fill(numbers[0])
    await expect(desk.page.locator("tbody tr")).to_have_count(1)
    await desk.page.locator("tbody a").click()
    await desk.click(".doings .export")
    async with desk.page.expect_download() as coming:
        await desk.answer()
    with tarfile.open(await (await coming.value).path()) as packed:
        packed.extractall(tmp_path, filter="data")
        parts = {Path(file).stem for file in packed.getnames() if file.endswith(".jsonl")}
    assert parts == {"profile", "accounts", "friends", "groups", "settings", "sent", "inbox"}
    assert "keep this" in (tmp_path / "sent.jsonl").read_text()
    (kept,) = json.loads((tmp_path / "media.json").read_text()).values()
    assert (tmp_path / kept).read_bytes() == b"the whole file"

    await desk.go("Audit log")
    await desk.page.locator('[name="op"]').select_option("users.export")
    await expect(desk.page.locator("tbody tr")).to_have_count(1)
    await expect(desk.page.locator("tbody tr")).to_contain_text("User exported")
    await expect(desk.page.locator("tbody tr")).to_contain_text(ann.user_id)
    await desk.page.go_back()

    await desk.click(".doings .delete")
    await expect(desk.page.locator("dialog")).to_contain_text("cannot be undone")
    await desk.answer()
    await expect(desk.page.locator("h2 .tag")).to_have_text("Blocked")
    await desk.go("Users")
    await desk.page.locator('[name="search"]').fill(numbers[0])
    await expect(desk.page.locator("tbody tr")).to_have_count(1)
    await expect(desk.page.locator("tbody tr")).to_have_text("Nothing found")
    assert desk.faults == []
    await desk.context.close()


async def test_who_may_only_read_sees_no_buttons_that_would_be_refused(
    server: Server, browser: Browser
) -> None:
    desk = await Desk.open(browser, server, "zh-CN")
    await desk.log_in("eyes")
    user = await login(server.at.http, "13500000009", SUPER_CODE, "phone")
    async with Client(user, **server.at.of("ws")) as client:
        await client.groups.create("围棋", [])
    await expect(desk.page.locator("nav a", has_text="发送消息")).to_have_count(0)
    for name in ("用户", "邀请", "群", "举报", "敏感词", "机器人", "Bot", "管理员", "审计日志", "设置"):
        await desk.go(name)
        await expect(desk.page.locator(".content .primary, .content .danger")).to_have_count(0)
    await desk.go("群")
    await desk.page.locator("tbody a", has_text="围棋").click()
    await expect(desk.page.locator("tbody tr")).to_have_count(1)
    await desk.go("用户")
    await desk.page.locator('[name="search"]').fill(user.user_id)
    await desk.page.locator("tbody a", has_text="0009").click()
    await expect(desk.page.locator(".devices tbody tr")).to_have_count(1)
    await expect(desk.page.locator(".doings, .content button")).to_have_count(0)
    assert desk.faults == []
    await desk.context.close()
