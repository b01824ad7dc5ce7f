"""The world of a row: a server or a cluster, and new users."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tools.conformance import shapes
from tools.conformance.checks import Skip, same
from tools.conformance.device import ACCEPTED, PROBE, SuiteDevice, SuiteLogin, is_push
from tools.conformance.links import SuiteLink, TcpLink, WebLink
from tools.wire.bodies import PRIVATE, TYPING, Object, new_local_id
from tools.wire.clients import BOUND
from tools.wire.crypto import open_token

PROBES = 6
"""How many transparent messages must arrive in a row before every group process counts as knowing a device."""

PROBE_SECONDS = 0.25


@dataclass(frozen=True)
class Target:
    """A server: addresses host:port, ws:// and http://; several of each for a cluster.

    `code` logs in every number. `own`: codes may be sent to made-up numbers, because nobody gets them.
    """

    tcp: Sequence[str]
    ws: Sequence[str]
    http: Sequence[str]
    code: str
    api_key: str = ""
    own: bool = False

    @property
    def distributed(self) -> bool:
        return len(self.tcp) > 1 or len(self.ws) > 1


@dataclass
class World:
    """A target, a transport, and everything that was opened for one row."""

    target: Target
    transport: str
    http: aiohttp.ClientSession
    links: list[SuiteLink] = field(default_factory=list)
    _asked: int = 0
    _opened: int = 0
    _prober: SuiteDevice | None = None
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    @asynccontextmanager
    async def on(cls, target: Target, transport: str) -> AsyncIterator["World"]:
        """Yield a world. At its end, everything that the server sent must match the contract."""
        timeout = aiohttp.ClientTimeout(total=BOUND)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            world = cls(target, transport, http)
            try:
                yield world
            finally:
                for link in world.links:
                    await link.close()
            for link in world.links:
                link.check()

    # Logging in

    def url(self, path: str) -> str:
        """Return a URL of the HTTP side; processes take turns."""
        self._asked += 1
        address = self.target.http[self._asked % len(self.target.http)]
        return address.rstrip("/") + path

    async def post(self, path: str, body: Object, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON of the answer."""
        async with self.http.post(self.url(path), json=body, headers=headers) as answer:
            return answer.status, shapes.parse(await answer.text(), {}, f"the answer to {path}")

    async def login(self, number: str = "", client_id: str = "") -> SuiteLogin:
        """Log a device in; without a number, for a new user."""
        number = number or new_number()
        client_id = client_id or new_client_id()
        status, answer = await self.post(
            "/login", {"mobile": number, "code": self.target.code, "clientId": client_id}
        )
        same(status, 200, "the status of /login")
        shapes.check(answer, shapes.LOGIN, "the answer to /login")
        same(answer["code"], 0, f"the code of /login ({answer['message']})")
        token = open_token(answer["result"]["token"])
        result = answer["result"]
        return SuiteLogin(
            result["userId"], client_id, token.user_token, token.secret, number, result["register"]
        )

    # Connections

    async def link(self, transport: str = "") -> SuiteLink:
        """Connect; connectors take turns."""
        transport = transport or self.transport
        self._opened += 1
        addresses = self.target.tcp if transport == "tcp" else self.target.ws
        link = await SuiteLink.open(transport, addresses[self._opened % len(addresses)])
        self.links.append(link)
        return link

    async def tcp_link(self) -> TcpLink:
        link = await self.link("tcp")
        assert isinstance(link, TcpLink)
        return link

    async def web_link(self) -> WebLink:
        link = await self.link("ws")
        assert isinstance(link, WebLink)
        return link

    async def device(self, session: SuiteLogin, transport: str = "") -> SuiteDevice:
        """Return a device that has connected, but not sent a CONNECT."""
        return SuiteDevice(await self.link(transport), session)

    async def online(self, session: SuiteLogin | None = None, transport: str = "") -> SuiteDevice:
        """Return a device that is online and known to be: of a new user, unless one is given."""
        device = await self.device(session or await self.login(), transport)
        same(await device.connect(), ACCEPTED, "the answer to CONNECT")
        if self.target.distributed:
            await self._until_known(device)
        return device

    async def another(self, device: SuiteDevice, transport: str = "") -> SuiteDevice:
        """Return another device of the same user, online."""
        return await self.online(await self.login(device.session.number), transport)

    async def people(self, count: int) -> list[SuiteDevice]:
        """Return the devices of so many new users, online."""
        return list(await asyncio.gather(*(self.online() for _ in range(count))))

    async def _until_known(self, device: SuiteDevice) -> None:
        """Wait until every process of a cluster knows the place of a device: then notifications reach it.

        The processes take calls in turn, so a few transparent messages in a row have gone through all of them.
        """
        async with self._making:
            if self._prober is None:
                prober = await self.device(await self.login())
                same(await prober.connect(), ACCEPTED, "the answer to CONNECT")
                self._prober = prober
        for _ in range(PROBES):
            while not await self._probe(self._prober, device):
                pass

    @staticmethod
    async def _probe(prober: SuiteDevice, device: SuiteDevice) -> bool:
        word = f"{PROBE} {new_local_id()}"
        await prober.send(device.uid, {"type": TYPING, "content": word}, kind=PRIVATE, flag=4)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await device.link.until(
                    lambda frame: (
                        is_push(frame)
                        and frame.content["messageResponseList"][0]["content"]["content"] == word
                    ),
                    "a probe",
                )
        except TimeoutError:
            return False
        return True

    async def befriend(self, one: SuiteDevice, other: SuiteDevice) -> None:
        """Make two users friends, and wait until both have been told."""
        await one.add_friend(other.uid)
        await other.notified("FRN")
        await other.handle_friend(one.uid)
        await asyncio.gather(one.notified("FN"), other.notified("FN"))

    async def office(self, method: str, path: str, body: Object) -> int:
        """Call the administration API and return the status. Without a key the row is skipped."""
        if not self.target.api_key:
            raise Skip("no API key (--api-key)")
        headers = {"X-API-Key": self.target.api_key}
        async with self.http.request(method, self.url(path), json=body, headers=headers) as answer:
            if answer.status == 404:
                raise Skip(f"the server has no {path}")
            return answer.status


def new_number() -> str:
    """Return a number that nobody has logged in with."""
    return f"19{secrets.randbelow(10**9):09}"


def new_client_id() -> str:
    return f"conformance-{secrets.token_hex(8)}"
