"""Which requests the group role answers at all."""

import pytest

import roles.group  # noqa: F401 - with it the handlers are announced
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Method
from roles.group.handlers import DIRECT, HANDLERS

REQUESTS = [
    "MS",
    "LRM",
    "US",
    "UPUI",
    "MMI",
    "FAR",
    "FHR",
    "FRP",
    "FRUS",
    "FP",
    "FALS",
    "FDL",
    "BLU",
    "MR",
    "UG",
    "UP",
]


@pytest.mark.parametrize("method", [*(SubSignal[name] for name in REQUESTS), *Method])
def test_there_is_one_handler(method: int) -> None:
    assert (method in DIRECT) + (method in HANDLERS) == 1
