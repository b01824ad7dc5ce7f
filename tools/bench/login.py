"""Accounts: logged in over HTTP with the super code of `--dev`, a bounded number at a time."""

import asyncio
from collections.abc import Sequence

import aiohttp

from tools.wire.bodies import WireAccount
from tools.wire.crypto import open_token

from .link import BenchError

_SUPER_CODE = "66666"
_AT_ONCE = 16
_SECONDS = 30.0


async def log_in(http: str, users: Sequence[int], devices: int = 1) -> Sequence[WireAccount]:
    """Return `devices` accounts for each of `users` (their numbers), the users side by side. Raises BenchError."""
    wanted = [(user, device) for device in range(devices) for user in users]
    accounts: dict[tuple[int, int], WireAccount] = {}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        waiting = iter(wanted)

        async def work() -> None:
            for key in waiting:
                accounts[key] = await _log_in_one(session, http, *key)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(work())
        except* (BenchError, aiohttp.ClientError, TimeoutError) as errors:
            raise BenchError(f"login failed: {errors.exceptions[0]!r}") from None
    return [accounts[key] for key in wanted]


async def _log_in_one(session: aiohttp.ClientSession, http: str, user: int, device: int) -> WireAccount:
    client_id = f"bench-{user:05d}-{device:02d}"
    body = {"mobile": f"139{user:08d}", "code": _SUPER_CODE, "clientId": client_id}
    async with session.post(f"{http.rstrip('/')}/login", json=body) as response:
        answer = await response.json()
    if answer["code"] != 0:
        raise BenchError(f"code {answer['code']}: {answer['message']}")
    token = open_token(answer["result"]["token"])
    return WireAccount(answer["result"]["userId"], client_id, token.user_token, token.secret)
