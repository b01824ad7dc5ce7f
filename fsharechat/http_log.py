"""The log of aiohttp's server."""

import logging
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError


class HttpLog(logging.LoggerAdapter[logging.Logger]):
    """Leaves out faults of clients, and clients that went away: these are no errors of the server."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger("aiohttp.server"))

    def exception(self, msg: object, *args: Any, exc_info: Any = True, **kwargs: Any) -> None:
        if not isinstance(exc_info, (HttpProcessingError, ConnectionError)):
            super().exception(msg, *args, exc_info=exc_info, **kwargs)
