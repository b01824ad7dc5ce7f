"""The conversation of the one process, from the same source, between two connectors."""

import pytest

from tests.e2e.conversation import converse
from tools.testing.cluster import MakeCluster, new_numbers

pytestmark = pytest.mark.slow

TEXTS = 500


@pytest.mark.parametrize(("anna_by", "ben_by"), [("tcp", "ws"), ("ws", "tcp"), ("tcp", "tcp")])
async def test_two_people_on_two_connectors_meet_and_talk(
    cluster: MakeCluster, anna_by: str, ben_by: str
) -> None:
    it = cluster(2, 2)
    it.faults()
    await converse(
        it.at(0),
        it.code_for,
        elsewhere=it.at(1),
        online=it.until_known,
        anna_by=anna_by,
        ben_by=ben_by,
        numbers=new_numbers(2),
        texts=TEXTS,
    )
    assert it.faults() == []
