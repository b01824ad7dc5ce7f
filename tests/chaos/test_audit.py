"""What the checks of raw devices find: whatever is lost, doubled or out of order is seen."""

from typing import Any

import pytest

from tests.chaos.crowds import found
from tools.chaos.audit import Deviations, judge_arrivals, judge_history
from tools.chaos.calls import ChaosCalls
from tools.chaos.raw import Book, RawDevice, Rule, Spoken
from tools.conformance.device import SuiteLogin
from tools.wire.bodies import PRIVATE

ANN, BEN = "ann", "ben"
COUNT = 6


def test_a_call_that_ended_without_a_word_is_seen_unless_signals_could_get_lost() -> None:
    calls = ChaosCalls({})
    calls.untold = [(100.0, ANN), (300.0, BEN)]
    assert calls.judge([]) == [f"for {ANN}", f"for {BEN}"]
    assert calls.judge([(90.0, 120.0)]) == [f"for {BEN}"]
    assert calls.judge([(301.0, 320.0)]) == [f"for {ANN}"]  # a signal may have got lost after the sound


class AuditedTalk:
    """Ann has sent numbered messages to Ben, who has two devices, and she has another one."""

    def __init__(self, local_ids: bool = True) -> None:
        self.book = Book()
        self.sender = self._device(ANN, "ann's phone", local_ids)
        self.listeners = [self._device(BEN, "ben's phone"), self._device(BEN, "ben's web")]
        self.others = [*self.listeners, self._device(ANN, "ann's web")]
        self.said = [self.sender.compose(PRIVATE, BEN, frozenset((BEN,))) for _ in range(COUNT)]
        for one in self.said:
            one.acknowledged, one.message_id = True, 100 + one.number

    def _device(self, uid: str, client_id: str, local_ids: bool = True) -> RawDevice:
        session = SuiteLogin(uid, client_id, "", "", "")
        return RawDevice(self.book, session, "tcp", ["nowhere"], Rule.IOS, local_ids)

    def hear(self, device: RawDevice, messages: list[Spoken]) -> None:
        for one in messages:
            device._hear(as_read(one), 1)

    def judged(self) -> Deviations:
        return found(judge_arrivals(self.book, [self.sender, *self.others]))

    def read_back(self, messages: list[dict[str, Any]]) -> Deviations:
        return found(judge_history(self.book, (PRIVATE, BEN), frozenset((ANN, BEN)), messages))


def as_read(one: Spoken, message_id: int = 0) -> dict[str, Any]:
    return {"messageId": message_id or one.message_id, "content": {"searchableContent": one.text}}


def newest_first(messages: list[Spoken]) -> list[dict[str, Any]]:
    return [as_read(one) for one in reversed(messages)]


def swapped(messages: list[Spoken]) -> list[Spoken]:
    return [messages[1], messages[0], *messages[2:]]


def test_all_that_came_once_and_in_order_is_well() -> None:
    talk = AuditedTalk()
    for device in talk.others:
        talk.hear(device, talk.said)
        talk.hear(device, talk.said[-2:])  # handed out again, and dropped by its id
    assert talk.judged() == {}
    assert talk.read_back(newest_first(talk.said)) == {}


@pytest.mark.parametrize("lost", range(COUNT))
@pytest.mark.parametrize("device", range(3))
def test_one_lost_message_at_one_device_is_seen(lost: int, device: int) -> None:
    talk = AuditedTalk()
    for number, one in enumerate(talk.others):
        talk.hear(one, [m for n, m in enumerate(talk.said) if (number, n) != (device, lost)])
    assert len(talk.judged()["messages of raw devices lost"]) == 1


def test_what_was_not_acknowledged_is_seen_and_need_not_come() -> None:
    talk = AuditedTalk()
    talk.said[-1].acknowledged = False
    for device in talk.others:
        talk.hear(device, talk.said[:-1])
    assert talk.judged().keys() == {"messages of raw devices not acknowledged"}


def test_what_came_out_of_order_is_seen_unless_it_was_refused() -> None:
    talk = AuditedTalk()
    for device in talk.others:
        talk.hear(device, swapped(talk.said))
    assert talk.judged().keys() == {"messages to raw devices out of order"}
    talk.said[0].refused = 1  # its place is where it was stored when it was sent again
    assert talk.judged() == {}


def test_a_message_under_two_ids_is_seen() -> None:
    talk = AuditedTalk()
    for device in talk.others:
        talk.hear(device, talk.said)
    talk.listeners[0]._hear(as_read(talk.said[0], 999), 1)
    assert "messages of raw devices under two ids" in talk.judged()


def test_a_message_without_local_id_may_not_come_back_to_its_device() -> None:
    talk = AuditedTalk(local_ids=False)
    for device in talk.others:
        talk.hear(device, talk.said)
    talk.sender._hear(as_read(talk.said[0]), 0)  # which says that it has nothing
    assert talk.judged() == {}
    talk.sender._hear(as_read(talk.said[0]), 1)
    assert talk.judged().keys() == {"breaches of the contract"}


def test_what_nobody_said_or_others_should_get_is_seen() -> None:
    talk = AuditedTalk()
    for device in talk.others:
        talk.hear(device, talk.said)
    stranger = talk._device("cid", "cid's phone")
    talk.hear(stranger, talk.said[:1])
    made_up = as_read(talk.said[0])
    made_up["content"]["searchableContent"] += "0"
    stranger._hear(made_up, 1)
    assert len(talk.judged()["breaches of the contract"]) == 2


def test_a_history_that_lacks_doubles_or_disorders_is_seen() -> None:
    talk = AuditedTalk()
    read = newest_first(talk.said)
    assert talk.read_back(read[1:]).keys() == {"acknowledged messages that LRM lacks"}
    assert "messages that LRM has twice" in talk.read_back([as_read(talk.said[-1], 999), *read])
    assert "histories that are not newest first" in talk.read_back(read[::-1])
    for one, message_id in zip(talk.said[:2], (102, 101), strict=True):
        one.message_id = message_id
    assert talk.read_back(newest_first(swapped(talk.said))).keys() == {"messages that LRM has out of order"}
    made_up = {"messageId": 1, "content": {"searchableContent": f"{talk.book.run} x"}}
    assert "messages that LRM has and nobody sent there" in talk.read_back([*read, made_up])
