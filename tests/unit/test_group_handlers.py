"""What carries out each request of the table, and each question of another role."""

from pathlib import Path
from random import Random
from typing import get_type_hints

import pytest

from fsharechat.protocol.signals import REQUESTS, SubSignal
from fsharechat.rpc import Call, Method, Reply
from roles.connector.session import BY_CONNECTOR
from roles.group import HANDLERS
from roles.group.handlers import Handlers, HandlerServices, add_up
from roles.group.messages import sending

ASKED = {SubSignal(number) for number in REQUESTS} - {SubSignal.MP}
"""What the group role is asked by the number of the request; for an MP it is asked to PULL."""


def test_each_request_and_each_method_has_a_handler_and_nothing_else_has() -> None:
    assert {*HANDLERS.requests, *HANDLERS.raw, *HANDLERS.direct} == {*ASKED, *Method} - {Method.MEDIA}


def test_none_has_two() -> None:
    async def handle(call: Call) -> Reply:
        raise NotImplementedError

    one, other = (
        Handlers(raw={Method.LOGIN: handle}),
        Handlers(raw={Method.LOGIN: handle, Method.PULL: handle}),
    )
    with pytest.raises(ValueError, match=r"LOGIN.* has two handlers"):
        add_up([one, other])
    with pytest.raises(ValueError, match=r"LOGIN.* has two handlers"):
        add_up([Handlers(raw={Method.LOGIN: handle}, direct={Method.LOGIN: sending})])


class Ledger:
    def __init__(self, path: Path, seed: Random) -> None:
        self.given = (path, seed)


def test_functions_and_classes_are_given_their_services() -> None:
    def ledger(seed: Random, path: Path) -> Ledger:
        return Ledger(path, seed)

    path, seed = Path(), Random()
    services = HandlerServices(seed, path)
    assert services.bind(Ledger)().given == services.bind(ledger)().given == (path, seed)
    with pytest.raises(TypeError, match="no service is a Random"):
        HandlerServices(path).bind(Ledger)


@pytest.mark.parametrize("sub_signal", sorted(HANDLERS.requests))
def test_a_handler_takes_the_message_of_its_row(sub_signal: SubSignal) -> None:
    function = HANDLERS.requests[sub_signal]
    *_, call, asked = [kind for name, kind in get_type_hints(function).items() if name != "return"]
    assert call is Call
    assert asked is REQUESTS[sub_signal].request.kind


@pytest.mark.parametrize("sub_signal", sorted(HANDLERS.requests))
def test_a_handler_gives_what_its_row_answers(sub_signal: SubSignal) -> None:
    given = get_type_hints(HANDLERS.requests[sub_signal])["return"]
    kind = REQUESTS[sub_signal].reply.kind
    assert given in ((kind, bytes) if kind else (bytes, type(None)))  # bytes: put together by hand


def test_the_connector_answers_what_the_table_says() -> None:
    assert BY_CONNECTOR.keys() == {number for number, row in REQUESTS.items() if row.by_connector}
