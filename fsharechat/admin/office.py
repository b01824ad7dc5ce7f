"""Asks the back office of a server over HTTP."""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from fsharechat import __version__
from fsharechat.errors import os_reason

TIMEOUT = aiohttp.ClientTimeout(total=60, connect=10)


class OfficeError(Exception):
    """The server cannot be reached, or has refused. The text is for the administrator."""


class AdminApi:
    """A server's back office: `async with Office(url, key) as office`."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": f"fsharechat-admin/{__version__}"}

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(timeout=TIMEOUT, headers=self._headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def ask(
        self, method: str, *path: str, body: object = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """Send a request to a path, given by its parts, and return the result. Raises OfficeError."""
        url = "/".join((self._url, *(quote(part, safe="") for part in path)))
        given = {name: value for name, value in (query or {}).items() if value}
        try:
            async with self._http.request(method, url, json=body, params=given) as response:
                answer = await response.json(content_type=None)
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            reason = "no answer in time" if isinstance(error, TimeoutError) else os_reason(error)
            raise OfficeError(f"the server at {self._url} cannot be reached: {reason}") from error
        except aiohttp.InvalidURL as error:
            raise OfficeError(
                f"{self._url} is not the address of a server, such as http://127.0.0.1:8081"
            ) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise OfficeError(f"{self._url} does not answer as a FshareChat server") from error
        if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
            raise OfficeError(f"{self._url} does not answer as a FshareChat server")
        if answer["code"] != 200:
            raise OfficeError(f"refused ({answer['code']}): {answer.get('message')}")
        return answer["result"]

    async def pages(self, *path: str, query: Mapping[str, str], whole: bool) -> AsyncIterator[Any]:
        """Yield the pages of a list: only the first, or all if `whole`. Raises OfficeError."""
        after = query.get("after", "")
        while True:
            page = await self.ask("GET", *path, query={**query, "after": after})
            yield page
            after = page["next"]
            if not whole or not after:
                return
