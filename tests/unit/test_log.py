import errno
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from fsharechat import log
from fsharechat.settings_schema import LogSettings


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(
    stream: io.StringIO | None = None, **settings: str
) -> tuple[io.StringIO, structlog.stdlib.BoundLogger]:
    stream = stream or io.StringIO()
    log.configure(LogSettings.model_validate(settings), stream)
    return stream, structlog.get_logger()


def test_json_lines_where_there_is_no_terminal() -> None:
    stream, logger = configured()
    logger.warning("session closed", user="u1", body=b"\xff", count=3)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "session closed",
        "level": "warning",
        "user": "u1",
        "body": "b'\\xff'",
        "count": 3,
    }


@pytest.mark.parametrize(
    ("terminal", "format", "readable"),
    [
        (True, "auto", True),
        (False, "auto", False),
        (False, "console", True),
        (True, "json", False),
    ],
)
def test_who_reads_it(terminal: bool, format: str, readable: bool) -> None:
    stream, logger = configured(FakeTerminal() if terminal else io.StringIO(), format=format)
    logger.info("hello")
    assert stream.getvalue().startswith("{") != readable


def test_an_event_is_one_readable_line_whatever_a_client_sends() -> None:
    stream, logger = configured(format="console")
    logger.info("connect", client_id="a\n12:00:00 [info] forged", user="\x1b[31mred")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_the_level_filters_both_ways_in() -> None:
    stream, logger = configured(level="warning")
    logger.info("no")
    logging.getLogger("x").info("no")
    logger.error("yes")
    logging.getLogger("x").error("yes")
    assert [line["event"] for line in lines(stream)] == ["yes", "yes"]


def test_the_level_of_loggers_in_use_changes() -> None:
    stream, logger = configured(level="warning")
    held = logger.bind()
    for level, heard in (
        ("debug", ["debug", "info", "error"]),
        ("error", ["error"]),
        ("info", ["info", "error"]),
    ):
        log.set_level(level)
        stream.seek(0)
        stream.truncate()
        for one in (logger, held, logging.getLogger("x")):
            one.debug("debug")
            one.info("info")
            one.error("error")
        assert [line["event"] for line in lines(stream)] == heard * 3


def test_the_standard_library_goes_the_same_way() -> None:
    stream, _ = configured()
    logging.getLogger("aiohttp.server").error("no %s", "luck")
    logging.getLogger("asyncio").info("slow callback")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    first, second = lines(stream)
    assert (first["event"], first["logger"], first["level"]) == ("no luck", "aiohttp.server", "error")
    assert "careful" in str(second["event"])


@pytest.mark.parametrize("key", ["password", "token", "secret", "code"])
def test_secrets_are_masked(key: str) -> None:
    stream, logger = configured()
    logger.info("login", **{key: "123456"})
    assert lines(stream)[0][key] == "***"
    assert "123456" not in stream.getvalue()


def test_result_codes_are_no_secrets() -> None:
    stream, logger = configured()
    logger.info("refused", code=248)
    assert lines(stream)[0]["code"] == 248


def test_the_code_provider_may_show_a_code() -> None:
    stream, logger = configured()
    logger.info(log.CODE_EVENT, number="13800000001", code="123456")
    assert lines(stream)[0]["code"] == "123456"


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_traceback_shows_no_local_values(format: str) -> None:
    stream, logger = configured(format=format)
    try:
        hush = "123" + "456"
        raise ValueError(len(hush))
    except ValueError:
        logger.exception("broke")
        logging.getLogger("x").exception("broke")
    assert stream.getvalue().count("ValueError: 6") == 2
    assert "123456" not in stream.getvalue()


def test_a_library_that_says_the_same_all_the_time_is_heard_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream, _ = configured()
    chatty, other = logging.getLogger("aiokafka.consumer.fetcher"), logging.getLogger("other")
    for number in range(100):
        chatty.error("Failed fetch messages from %s", number)
        other.error("heard each time")
    chatty.error("something else")
    monkeypatch.setattr(log, "REPEAT_SECONDS", 0.0)
    chatty.error("Failed fetch messages from %s", "afterwards")
    said = [line["event"] for line in lines(stream)]
    assert said.count("heard each time") == 100
    assert [event for event in said if event != "heard each time"] == [
        "Failed fetch messages from 0",
        "something else",
        "Failed fetch messages from afterwards",
    ]


def test_a_full_disk_breaks_nothing_that_logs() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - it raises when it closes
    try:
        log.configure(LogSettings(format="json"), full)
        structlog.get_logger().warning("something")
        logging.getLogger("library").warning("something")
    finally:
        with suppress(OSError):
            full.close()


def test_after_a_full_disk_the_log_says_how_much_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, logger = configured()
    with monkeypatch.context() as disk:
        disk.setattr(stream, "write", _no_room)
        disk.setattr(stream, "flush", _no_room)
        logger.warning("dropped")
        logger.warning("dropped")
    logger.warning("there is room")
    said = [(line["event"], line.get("lines")) for line in lines(stream)]
    assert said == [(log.MISSING, 2), ("there is room", None)]


def _no_room(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
