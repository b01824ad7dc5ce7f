"""Logging: readable lines on a terminal, JSON lines otherwise. `logging` goes the same way.

Secrets, login codes and message texts are not passed to the log. `mask_secrets` is a second protection.
"""

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from fsharechat.settings_schema import LogSettings
from fsharechat.tracing import TRACING

CODE_EVENT = "login code"
"""The event in which the code provider `log` may show a code."""

MISSING = "lines of the log are missing: it could not be written"
"""The event with the number of lines, once it can be written again."""

_SECRET_KEYS = frozenset({"password", "token", "secret"})
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_QUIET = ("aiohttp.access", "asyncio", "alembic", "aiokafka")
_CHATTY = "aiokafka"
"""It logs the same line many times a second while Kafka is away. fsharechat/bus/kafka.py logs it once."""
REPEAT_SECONDS = 300.0
_MUTE = ("aiozk",)
"""It repeats, with tracebacks, what registry/zookeeper/session.py logs in one line."""


_level = "info"


class _Logger(structlog.BoundLoggerBase):
    """The class of all bound loggers. `set_level` sets its methods, so existing loggers follow."""


def configure(log: LogSettings, stream: TextIO | None = None) -> None:
    """Send events of structlog and `logging` to `stream` (standard error), in the form of `log`.

    An event below the level costs one call of an empty function. In hot paths, keep a bound logger.
    """
    stream = stream or sys.stderr
    readable = log.format == "console" or (log.format == "auto" and stream.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        mask_secrets,
        _stamper(readable),
    ]
    render = _console(stream) if readable else _json()
    unfailing = _UnfailingStream(stream, [_stamper(readable), *render])
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=_Logger,
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, unfailing)),
        cache_logger_on_first_use=True,
    )
    _route_standard_library(unfailing, shared, render)
    set_level(log.level)


def set_level(level: str) -> None:
    """Show events from a level on. This also changes loggers in use."""
    global _level
    number, _level = _LEVELS[level], level
    for name, method in vars(structlog.make_filtering_bound_logger(number)).items():
        if not name.startswith("__"):
            setattr(_Logger, name, method)
    TRACING.on = level == "debug"
    logging.getLogger().setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def level() -> str:
    """Return the level that is set."""
    return _level


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace secrets by ***. A `code` is a secret only as text: numbers are result codes."""
    for key in _SECRET_KEYS & event.keys():
        event[key] = "***"
    if isinstance(event.get("code"), str) and event.get("event") != CODE_EVENT:
        event["code"] = "***"
    return event


def _stamper(readable: bool) -> Processor:
    if readable:
        return structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False)
    return structlog.processors.TimeStamper(fmt="iso", utc=True)


def _console(stream: TextIO) -> list[Processor]:
    plain = structlog.dev.plain_traceback
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=plain, pad_event_to=0, repr_native_str=True
        )
    ]


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]


def _dumps(event: Mapping[str, Any], **_: Any) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _route_standard_library(
    stream: "_UnfailingStream", shared: list[Processor], render: list[Processor]
) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    handler.addFilter(_NoRepeats())
    root = logging.getLogger()
    root.handlers = [handler]
    for name in _MUTE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)


class _UnfailingStream:
    """A stream that drops what it cannot write. A full disk must not break the work that logs a line.

    When it can write again, a line says how many others are missing.
    """

    def __init__(self, stream: TextIO, render: Sequence[Processor]) -> None:
        self._stream = stream
        self._render = render
        self._missing = 0
        self._wrote = True

    def write(self, text: str) -> None:
        try:
            if self._missing:
                self._stream.write(self._line())
                self._stream.flush()
                self._missing = 0
            self._stream.write(text)
            self._wrote = True
        except OSError:
            self._missing += 1
            self._wrote = False

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._missing += self._wrote

    def _line(self) -> str:
        event: Any = {"event": MISSING, "level": "warning", "lines": self._missing}
        for process in self._render:
            event = process(None, "warning", event)
        return f"{event}\n"


class _NoRepeats(logging.Filter):
    """Shows each kind of line of a noisy library only once in REPEAT_SECONDS."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] != _CHATTY:
            return True
        # The text before its values are filled in. It names the kind of line, and the library has a fixed number of
        # kinds.
        kind = (record.name, str(record.msg))
        last = self._said.get(kind)
        if last is not None and record.created - last < REPEAT_SECONDS:
            return False
        self._said[kind] = record.created
        return True
