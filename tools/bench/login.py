"""Accounts: logged in over HTTP with the super code of `--dev`, a bounded number at a time."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import aiohttp

from tools.wire.bodies import WireAccount
from tools.wire.crypto import open_token

from .histogram import LatencyHistogram
from .link import BenchError

_SUPER_CODE = "66666"
_AT_ONCE = 16
_SECONDS = 30.0


def mobile_of(user: int) -> str:
    """Return the mobile number of the user of a number."""
    return f"139{user:08d}"


def client_of(user: int, device: int) -> str:
    """Return the client id of a device of a user."""
    return f"bench-{user:05d}-{device:02d}"


async def log_in(
    http: str, users: Sequence[int], devices: int = 1, times: LatencyHistogram | None = None
) -> Sequence[WireAccount]:
    """Return `devices` accounts for each of `users` (their numbers), the users side by side. Raises BenchError.

    What each login took goes into `times`.
    """
    wanted = [(user, device) for device in range(devices) for user in users]
    accounts: dict[tuple[int, int], WireAccount] = {}
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        waiting = iter(wanted)

        async def work() -> None:
            for key in waiting:
                begin = perf_counter()
                accounts[key] = await _log_in_one(session, http, *key)
                if times is not None:
                    times.record(perf_counter() - begin)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(work())
        except* (BenchError, aiohttp.ClientError, TimeoutError) as errors:
            raise BenchError(f"login failed: {errors.exceptions[0]!r}") from None
    return [accounts[key] for key in wanted]


async def _log_in_one(session: aiohttp.ClientSession, http: str, user: int, device: int) -> WireAccount:
    client_id = client_of(user, device)
    body = {"mobile": mobile_of(user), "code": _SUPER_CODE, "clientId": client_id}
    async with session.post(f"{http.rstrip('/')}/login", json=body) as response:
        answer = await response.json()
    if answer["code"] != 0:
        raise BenchError(f"code {answer['code']}: {answer['message']}")
    token = open_token(answer["result"]["token"])
    return WireAccount(answer["result"]["userId"], client_id, token.user_token, token.secret)
