"""The common part of all HTTP ports of a process, and of its requests to others: no body is decompressed."""

import logging
from typing import Any

from aiohttp import ClientResponse, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

_AS_IT_IS = frozenset({"", "identity"})


def make_runner(app: web.Application, **options: Any) -> web.AppRunner:
    """Return a runner for an application that decompresses nothing: a few bytes may stand for gigabytes.

    The application has `refuse_encoded` among its middlewares. `options` are those of aiohttp's AppRunner.
    """
    return web.AppRunner(app, access_log=None, handle_signals=False, auto_decompress=False, **options)


@web.middleware
async def refuse_encoded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a request with a Content-Encoding (415), whatever its path. Its connection ends."""
    encoding = ",".join(request.headers.getall("Content-Encoding", ()))
    if encoding.strip().lower() in _AS_IT_IS:
        return await handler(request)
    refusal = {"code": 415, "message": "send the body as it is, without Content-Encoding", "result": None}
    response = web.json_response(refusal, status=415)
    response.force_close()
    return response


async def read_up_to(answer: ClientResponse, most: int) -> bytes | None:
    """Return the body of an answer, None if it has more than `most` bytes: then the rest is not read."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > most:
            return None
    return bytes(body)


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """Leaves out faults of clients, and clients that went away: these are no errors of the server."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))

    def exception(self, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any) -> None:
        if not isinstance(exc_info, (HttpProcessingError, ConnectionError)):
            super().exception(msg, *args, exc_info=exc_info, **kwargs)
