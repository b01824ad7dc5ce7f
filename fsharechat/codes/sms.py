"""The common part of the SMS vendors: their libraries block, so each request runs in a thread."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from fsharechat.codes import CodeError, CodeSender, CodeUnconfirmed

_TALKATIVE = ("urllib3", "darabonba-core", "tencentcloud_sdk_common")
"""At level debug they log whole requests, with the codes."""


class SmsCodes(CodeSender):
    """`endpoint` is the vendor's http(s) address; at most `at_once` threads run."""

    def __init__(self, endpoint: str, at_once: int) -> None:
        self.endpoint = urlsplit(endpoint)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="codes")
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)

    @abstractmethod
    def request(self, number: str, code: str) -> None:
        """Ask the vendor to send a code, blocking, within a bound. Raises CodeError."""

    async def send(self, number: str, code: str) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self.request, number, code)

    async def check(self) -> str:
        host, port = self.endpoint.hostname, self.endpoint.port
        port = port or (443 if self.endpoint.scheme == "https" else 80)
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise CodeError(f"{host}:{port}: {error.strerror or error}") from error
        writer.close()
        return f"{host}:{port} is there (whether it takes the keys shows with the first code)"

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def failure(error: Exception, reason: object) -> CodeError:
    """Return the error for the code after a vendor's library failed with `error`, because of `reason`."""
    for cause in _causes(error):
        if isinstance(cause, (NewConnectionError, ConnectTimeoutError, SSLError)):
            return CodeError(str(cause))
    return CodeUnconfirmed(str(reason))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = getattr(error, "inner_exception", None)
        error = inner or error.__cause__ or error.__context__
