"""The way of a call to its handler, and what becomes of one that fails."""

import asyncio

import pytest
from structlog.testing import capture_logs

from fsharechat.errors import CommitInDoubt, Refusal, StoreError
from fsharechat.protocol.ids import IdGenerator, LeaseError
from fsharechat.protocol.signals import REQUESTS, Code, SubSignal
from fsharechat.rpc import Call, Reply
from roles.group import HANDLERS
from roles.group.clock import ServerClock
from roles.group.handlers import CallHandler, Dispatcher, Handlers, HandlerServices, add_up
from roles.group.outbox import EventOutbox
from roles.group.presence import PresenceTable
from tests.unit.group.group_kit import NODE, Office

METHOD = 255

PARSED = sorted({*HANDLERS.requests, SubSignal.MS})
ALL_OPTIONAL = {method for method in PARSED if REQUESTS[method].request.kind().IsInitialized()}
"""Their messages have no required field."""


def dispatcher(handler: CallHandler) -> Dispatcher:
    """Return what has one handler, for METHOD, and two services."""
    services = HandlerServices(ServerClock(IdGenerator(NODE)), PresenceTable())
    return Dispatcher(services, add_up([Handlers(raw={METHOD: handler})]))


@pytest.mark.parametrize("method", [SubSignal.GQNUT, SubSignal.MN, SubSignal.NONE, METHOD])
async def test_an_unknown_method_is_not_implemented(office: Office, method: int) -> None:
    assert await office.code("ann", method, b"\xff") == Code.NOT_IMPLEMENTED


async def test_a_body_that_is_not_the_requests_is_invalid_data(office: Office) -> None:
    for method in PARSED:
        assert await office.code("ann", method, b"\xff\xff\xff") == Code.INVALID_DATA, method.name


async def test_a_body_without_its_required_fields_is_invalid_data(office: Office) -> None:
    for method in sorted({*PARSED} - ALL_OPTIONAL):
        assert await office.code("ann", method, b"") == Code.INVALID_DATA, method.name


@pytest.mark.parametrize(
    ("method", "body"),
    [
        (SubSignal.US, b"\x0a\x02\xff\xfe"),
        (SubSignal.UPUI, b"\x0a\x04\x0a\x02\xff\xfe"),
        (SubSignal.MMI, b"\x0a\x06\x08\x00\x12\x02\xff\xfe"),
        (SubSignal.FAR, b"\x0a\x01a\x12\x02\xff\xfe"),
    ],
    ids=["text", "text in an element", "text beside a number", "second text"],
)
async def test_text_that_is_not_utf_8_is_invalid_data(office: Office, method: SubSignal, body: bytes) -> None:
    assert await office.code("ann", method, body) == Code.INVALID_DATA


@pytest.mark.parametrize(
    ("error", "code", "events"),
    [
        (Refusal(Code.NO_RIGHT), Code.NO_RIGHT, []),
        (StoreError("disk full"), Code.SERVER_ERROR, [("warning", "store failed a request")]),
        (CommitInDoubt("no answer"), Code.TIMEOUT, [("warning", "store failed a request")]),
        (LeaseError("node id 5"), Code.SERVER_ERROR, [("error", "no message id")]),
        (RuntimeError("bug"), Code.SERVER_ERROR, [("error", "request failed")]),
        (asyncio.CancelledError(), Code.TIMEOUT, []),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_handler_that_fails_is_a_code_and_a_log_line(
    error: BaseException, code: Code, events: list[tuple[str, str]]
) -> None:
    async def fail(call: Call) -> Reply:
        raise error

    with capture_logs() as logs:
        assert await dispatcher(fail).call(Call(METHOD, "ann", "phone", b"secret")) == Reply(code)
    assert [(line["log_level"], line["event"]) for line in logs] == events
    assert "secret" not in str(logs)


async def test_a_call_that_fails_leaves_the_next_one_alone() -> None:
    async def fail(call: Call) -> Reply:
        raise RuntimeError("bug")

    calls = dispatcher(fail)
    with capture_logs():
        failed, other = await asyncio.gather(
            *(calls.call(Call(method, "ann", "phone", b"")) for method in (METHOD, SubSignal.GQNUT))
        )
    assert (failed.code, other.code) == (Code.SERVER_ERROR, Code.NOT_IMPLEMENTED)


async def test_a_handler_gets_the_services_that_it_names() -> None:
    async def needs(presence: PresenceTable, clock: ServerClock, call: Call) -> Reply:
        return Reply(len(presence), str(clock.ids.node).encode())

    assert await dispatcher(needs).call(Call(METHOD, "ann", "phone", b"")) == Reply(0, b"3")


async def test_a_service_that_is_not_there_is_missed_at_the_start() -> None:
    async def needs(outbox: EventOutbox, call: Call) -> Reply:
        raise NotImplementedError

    with pytest.raises(TypeError, match="no service is a EventOutbox"):
        dispatcher(needs)
