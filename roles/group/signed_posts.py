"""Requests to addresses that the settings name, signed as Standard Webhooks says (docs/webhooks.md).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import time

import aiohttp

from fsharechat.http import read_up_to

MAX_REASON = 300
"""The most characters of the reason of a failure, for the log."""


class PostFailed(Exception):
    """A request has no good answer. The text says why. `status` is that of the answer, 0 if there was none."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason[:MAX_REASON])
        self.status = status


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """Return the value of `webhook-signature`. `timestamp` is in seconds."""
    signed = b"%b.%d.%b" % (id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


class SignedPosts:
    """Posts JSON to one address. Redirects are not followed, and answers are bounded."""

    def __init__(self, url: str, key: bytes, seconds: float, max_answer: int) -> None:
        """`seconds` bounds a whole request, `max_answer` (bytes) its answer."""
        self._url = url
        self._key = key
        self._seconds = seconds
        self._max_answer = max_answer
        self._http: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def post(self, id: str, body: bytes) -> bytes:
        """Post one event and return the body of the answer. Raises PostFailed, also for a status other than 2xx."""
        if self._http is None:
            # The callers bound how many posts are under way. A few compressed bytes may be gigabytes.
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "fsharechat",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._key, id, now, body),
        }
        try:
            async with self._http.post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                if not 200 <= response.status < 300:
                    raise PostFailed(f"it answers with status {response.status}", response.status)
                return await self._answer(response)
        except TimeoutError:
            raise PostFailed(f"no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PostFailed(str(error) or type(error).__name__) from error

    async def _answer(self, response: aiohttp.ClientResponse) -> bytes:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise PostFailed("its answer is compressed, which the request does not allow", response.status)
        answer = await read_up_to(response, self._max_answer)
        if answer is None:
            response.close()
            raise PostFailed(f"its answer has more than {self._max_answer} bytes", response.status)
        return answer
