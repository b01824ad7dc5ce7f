"""What each public client says that it has, and what it gets (contract.md section 6)."""

from collections.abc import Callable

import orjson
import pytest

from fsharechat.bus import Deliver, Push
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import sent_payload
from fsharechat.protocol.signals import Code, ContentType, Signal, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.store.cursors import Log, Mark
from fsharechat.store.inboxes import NOTHING
from fsharechat.store.messages import Entry
from roles.connector.cursor import OUTLIVED_SECONDS
from roles.connector.logs import HELD_SECONDS, MAX_HELD
from roles.connector.marks import KEEP_SECONDS
from tests.unit.connector.connector_fakes import Connector, FakeDevice, SentFrame, body_of, pulled, turn

ANSWER = 3
"""Entries that the store gives in one answer."""


class ClaimedInbox:
    """The store behind a connector: entries 1 to `head`, and the marks that are kept."""

    def __init__(self, connector: Connector, head: int = 0) -> None:
        self.head = head
        self.marks: dict[str, Mark] = {}
        connector.rpc.answers[Method.PULL] = self._pull
        connector.rpc.answers[Method.MARKS] = self._keep

    def _pull(self, call: Call) -> Reply:
        after, _, claim = orjson.loads(call.body)
        begin = NOTHING
        if after == NOTHING:
            begin = after = max(0, self.head - ANSWER)
            if 0 < claim < begin:
                begin = after = claim
        upto = min(self.head, after + ANSWER)
        return Reply(Code.SUCCESS, pulled(range(after + 1, upto + 1), self.head, begin))

    def _keep(self, call: Call) -> Reply:
        for row in (Mark(*row) for row in orjson.loads(call.body)):
            if row.log == Log.INBOX:
                before = self.marks.get(row.client_id, Mark("", "", 0, 0, 0))
                self.marks[row.client_id] = row._replace(
                    seq=max(row.seq, before.seq), handed=max(row.handed, before.handed)
                )
        return Reply(Code.SUCCESS)


class ClaimingClient:
    """A device that keeps what it got, and says what it has by the rule of one public client."""

    def __init__(
        self, connector: Connector, inbox: ClaimedInbox, claim: Callable[["ClaimingClient"], int]
    ) -> None:
        self.connector, self.inbox, self._claim = connector, inbox, claim
        self.has: set[int] = set()
        self.last_covered = self.last_mn = self.ack_head = 0
        self.answer_bytes = 0
        """The most bytes of an answer, if another number than that of the transport."""
        self._device: FakeDevice | None = None

    async def connect(self, *, crossing: int | None = None) -> None:
        """Connect, and ask. A new entry with the seq `crossing` comes before that question arrives."""
        mark = self.inbox.marks.get("phone", Mark("anna", "phone", 0, 0, 0))
        self._device = self.connector.accept()
        self._device.transport.answer_bytes = self.answer_bytes or self._device.transport.answer_bytes
        head = self.inbox.head
        await self.connector.log_in(self._device, head=head, mark=mark.seq, handed=mark.handed)
        claim = self._claim(self)
        self.ack_head = head
        if crossing is not None:
            self.inbox.head = crossing
            self.connector.deliver(crossing)
        await self.ask(claim)

    async def ask(self, after: int) -> None:
        assert self._device is not None
        self._device.pull(after)
        await turn()

    async def read(self, *, answers: bool = True) -> None:
        """Take what was sent, and ask for what one is told of, until nothing more comes."""
        assert self._device is not None
        while sent := self._device.transport.take():
            for one in sent:
                if one.what == "pulled":
                    bodies, self.last_covered, _ = one.body
                    self.has |= {pb.Message.FromString(body).message_id for body in bodies}
                elif one.sub_signal == SubSignal.MN:
                    self.last_mn = pb.NotifyMessage.FromString(one.body).head
                    if answers:
                        await self.ask(self.last_mn - 1)

    async def lose(self) -> None:
        """Let the connection break with all that was not read."""
        assert self._device is not None
        self._device.transport.take()
        self._device.session.close()
        await self.connector.hub.table.marks.keep(all=True)


CLAIMS: dict[str, Callable[[ClaimingClient], int]] = {
    "exact": lambda client: client.last_covered,
    "head of the last MN": lambda client: client.last_mn,
    "head of the CONNECT_ACK": lambda client: max(client.last_mn, client.ack_head),
    "with 15 call signals": lambda client: client.last_covered + 15,
    "nothing": lambda client: 0,
}


@pytest.mark.parametrize("rule", CLAIMS)
@pytest.mark.parametrize("breaks", [0, 1, 2])
async def test_every_client_has_everything_in_the_end(connector: Connector, rule: str, breaks: int) -> None:
    """Connections break at the first pull, or in the middle of a round."""
    inbox = ClaimedInbox(connector)
    client = ClaimingClient(connector, inbox, CLAIMS[rule])
    await client.connect()
    await client.read()
    inbox.head = 2
    for seq in (1, 2):
        connector.deliver(seq)
    await client.read()
    await client.lose()
    inbox.head = 20
    for _ in range(breaks):
        await client.connect()
        await client.lose()  # the answer to the first pull is lost with the connection
    await client.connect()
    await client.read(answers=False)
    await client.lose()  # in the middle of a round
    await client.connect()
    await client.read()
    assert client.has == set(range(1, 21)) if rule != "nothing" else {18, 19, 20} <= client.has


async def test_a_device_that_has_less_than_its_mark_gets_all_that_follows(connector: Connector) -> None:
    """Such as a bot that was killed: it had fetched more than it had handled."""
    inbox = ClaimedInbox(connector, head=20)
    inbox.marks["phone"] = Mark("anna", "phone", Log.INBOX, 15, 17)
    client = ClaimingClient(connector, inbox, lambda client: 4)
    await client.connect()
    await client.read()
    assert client.has == set(range(5, 21))


async def test_news_that_cross_the_first_question_of_such_a_device_take_nothing_from_it(
    connector: Connector,
) -> None:
    """It takes the MN for a promise that it has all before it, asks from there, and drops what comes from below."""
    inbox = ClaimedInbox(connector, head=20)
    inbox.marks["phone"] = Mark("anna", "phone", Log.INBOX, 15, 20)
    client = ClaimingClient(connector, inbox, lambda client: 4)
    await client.connect(crossing=21)
    await client.read(answers=False)
    assert client.has == {5, 6, 7}
    await client.ask(15)
    await client.read(answers=False)
    assert client.has == set(range(5, 11))


@pytest.mark.parametrize(("claim", "first"), [(5, 6), (19, 18)])
async def test_a_device_that_comes_back_after_a_log_out_has_what_it_had(
    connector: Connector, claim: int, first: int
) -> None:
    """One that was given nothing since its login, and says that it has something, gets the newest ones at least."""
    inbox = ClaimedInbox(connector, 20)
    client = ClaimingClient(connector, inbox, lambda _: claim)
    await client.connect()
    await client.read()
    assert client.has == set(range(first, 21))


@pytest.mark.parametrize(("claim", "first"), [(0, 20), (17, 18), (18, 19), (19, 20), (30, 20)])
async def test_no_answer_is_too_small_for_what_such_a_device_lacks(
    connector: Connector, claim: int, first: int
) -> None:
    """It was killed with its server before its marks were kept. The newest entries alone may fit no answer."""
    inbox = ClaimedInbox(connector, 20)
    client = ClaimingClient(connector, inbox, lambda _: claim)
    client.answer_bytes = 1
    await client.connect()
    await client.read()
    assert client.has == set(range(first, 21))


async def test_a_device_that_was_told_of_nothing_is_told_of_what_its_mark_says(connector: Connector) -> None:
    """It believes that it has everything, and asks for nothing after its CONNECT."""
    ClaimedInbox(connector, 9)
    phone = connector.accept()
    await connector.log_in(phone, head=9, mark=4, handed=9)
    assert phone.transport.mns() == []
    connector.clock.now += connector.hub.table.settings.notify_repeat_seconds + 0.1
    await connector.hub.sweep()
    assert phone.transport.mns() == [5]


@pytest.mark.parametrize(("handed", "told"), [(9, [5]), (8, [])])
async def test_one_that_may_have_everything_is_told_at_once_of_what_comes_after_its_return(
    connector: Connector, handed: int, told: list[int]
) -> None:
    """It asks for nothing after its CONNECT. One that lacks an entry asks by itself, so it is told of nothing yet."""
    ClaimedInbox(connector, 10)
    phone = connector.accept()
    await connector.log_in(phone, head=9, mark=4, handed=handed)
    connector.deliver(10)
    assert phone.transport.mns() == told
    connector.deliver(11)
    assert phone.transport.mns() == []


async def test_a_mark_is_kept_when_the_device_leaves_and_now_and_then(connector: Connector) -> None:
    inbox = ClaimedInbox(connector)
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    for seq in (1, 2):
        connector.deliver(seq)
        phone.pull(seq - 1)
    tablet.pull(0)
    await connector.hub.table.marks.keep()
    assert (inbox.marks["phone"].seq, inbox.marks["phone"].handed) == (1, 2)
    connector.clock.now += OUTLIVED_SECONDS
    tablet.session.heard_at = connector.clock.now
    tablet.session.close()
    await connector.hub.table.marks.keep()
    assert (inbox.marks["tablet"].seq, inbox.marks["tablet"].handed) == (2, 2)


async def test_marks_that_cannot_be_kept_are_kept_later_and_known_meanwhile(connector: Connector) -> None:
    inbox = ClaimedInbox(connector)
    phone = await connector.device()
    for seq in (1, 2, 3):
        connector.deliver(seq)
        phone.pull(seq - 1)
    keep = connector.rpc.answers[Method.MARKS]
    connector.rpc.answers[Method.MARKS] = lambda _: Reply(Code.SERVER_ERROR)
    phone.session.close()
    await connector.hub.table.marks.keep()
    assert inbox.marks == {}
    phone = connector.accept()
    await connector.log_in(phone, head=3, mark=0)
    assert phone.session.logs is not None
    assert phone.session.logs.inbox.mark == 2
    connector.rpc.answers[Method.MARKS] = keep
    await connector.hub.table.marks.keep()
    assert inbox.marks == {}, "it is not tried all the time"
    connector.clock.now += KEEP_SECONDS
    await connector.hub.table.marks.keep()
    assert inbox.marks["phone"].seq == 2


async def test_of_a_device_that_logs_out_nothing_is_kept(connector: Connector) -> None:
    inbox = ClaimedInbox(connector)
    phone = await connector.device()
    for seq in (1, 2, 3):
        connector.deliver(seq)
        phone.pull(seq - 1)
    phone.send(Signal.DISCONNECT, b"\1")
    await connector.hub.table.marks.keep(all=True)
    assert inbox.marks == {}


def entry(seq: int, *, kind: int = 1, local_id: int = 0, target: str = "anna") -> bytes:
    return pb.Message(
        conversation=pb.Conversation(type=0, target=target, line=0),
        from_user="anna" if target != "anna" else "ben",
        content=pb.MessageContent(type=kind),
        message_id=seq,
        local_message_id=local_id,
    ).SerializeToString()


@pytest.mark.parametrize(("local_id", "claim", "given"), [(0, 3, False), (7, 3, True)])
async def test_a_devices_own_message_is_given_again_only_with_a_local_id(
    connector: Connector, local_id: int, claim: int, given: bool
) -> None:
    phone = await connector.device(head=3)
    theirs, own = entry(4), entry(5, local_id=local_id, target="ben")
    connector.events(Deliver(theirs, [Entry("anna", 4)], "ben", ""))
    connector.events(Deliver(own, [Entry("anna", 5)], "anna", "phone"))
    phone.transport.take()
    phone.pull(claim)
    assert phone.transport.take() == [
        SentFrame("pulled", SubSignal.MP, 1, ([theirs, own] if given else [theirs], 5, 5))
    ]


async def test_a_call_that_was_given_before_is_not_given_again(connector: Connector) -> None:
    phone = await connector.device(head=3)
    call, text = entry(4, kind=ContentType.CALL_START), entry(5)
    connector.events(Deliver(call, [Entry("anna", 4)], "ben", ""))
    connector.events(Deliver(text, [Entry("anna", 5)], "ben", ""))
    phone.transport.take()
    for given in ([call, text], [text]):
        phone.pull(3)
        assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 1, (given, 5, 5))]


async def test_an_answer_is_cut_at_its_size_on_the_connection(connector: Connector) -> None:
    phone = await connector.device()
    phone.transport.answer_bytes = 2 * len(body_of(1)) + 1
    for seq in range(1, 6):
        connector.deliver(seq)
    assert phone.transport.mns() == [1]
    for covered in ((1, 2), (3, 4), (5,)):
        phone.pull(covered[0] - 1)
        answer, *rest = phone.transport.take()
        assert answer.body == ([body_of(seq) for seq in covered], covered[-1], covered[-1])
        told = [pb.NotifyMessage.FromString(one.body).head for one in rest]
        assert told == ([covered[-1] + 1] if covered[-1] < 5 else [])


async def test_an_entry_over_the_size_goes_alone(connector: Connector) -> None:
    phone = await connector.device()
    phone.transport.answer_bytes = 1
    connector.deliver(1)
    connector.deliver(2)
    phone.transport.take()
    phone.pull(0)
    assert phone.transport.take("pulled")[0].body == ([body_of(1)], 1, 1)


# The order of an MN and the PUB_ACK


def send(phone: FakeDevice, frame_id: int = 9) -> None:
    phone.publish(SubSignal.MS, b"", frame_id)


async def test_who_sends_is_told_first_of_what_lies_below(connector: Connector) -> None:
    """The events of what others sent may be behind the answer to an own message."""
    phone = await connector.device(head=3)
    send(phone)
    await connector.rpc.reply(payload=sent_payload(77, 88, 6))
    mn, ack = phone.transport.take()
    assert (mn.sub_signal, pb.NotifyMessage.FromString(mn.body).head) == (SubSignal.MN, 4)
    assert (ack.message_id, ack.body.payload) == (9, sent_payload(77, 88, 6)[:16])


async def test_the_other_devices_are_told_of_it_too(connector: Connector) -> None:
    """The head check would not: this connector knows how far the inbox goes."""
    phone = await connector.device(head=3)
    tablet = await connector.device(client_id="tablet", head=3)
    send(phone)
    await connector.rpc.reply(payload=sent_payload(77, 88, 6))
    assert tablet.transport.mns() == [4]


async def test_who_lacks_nothing_is_told_of_nothing(connector: Connector) -> None:
    phone = await connector.device(head=3)
    send(phone)
    await connector.rpc.reply(payload=sent_payload(77, 88, 4))
    assert [sent.what for sent in phone.transport.take()] == ["reply"]
    connector.deliver(4, sender="anna", sender_client="phone")
    assert phone.transport.take() == []


async def test_a_transparent_message_of_ones_own_has_no_place(connector: Connector) -> None:
    phone = await connector.device(head=3)
    send(phone)
    await connector.rpc.reply(payload=sent_payload(77, 88, 0))
    assert [sent.what for sent in phone.transport.take()] == ["reply"]


# Transparent messages behind what they follow


def bye(connector: Connector, sender: str = "ben", id: int = 500, kind: int = ContentType.CALL_BYE) -> bytes:
    """Bring a transparent message to anna, and return its body."""
    body = pb.Message(
        conversation=pb.Conversation(type=0, target="anna", line=0),
        from_user=sender,
        content=pb.MessageContent(type=kind),
        message_id=id,
    ).SerializeToString()
    connector.events(Push(body, ["anna"]))
    return body


async def test_the_end_of_a_call_does_not_overtake_its_start(connector: Connector) -> None:
    phone = await connector.device(head=3)
    start = entry(4, kind=ContentType.CALL_START)
    connector.events(Deliver(start, [Entry("anna", 4)], "ben", ""))
    end = bye(connector)
    assert [sent.what for sent in phone.transport.take()] == ["notification"]
    phone.pull(3)
    assert phone.transport.take() == [
        SentFrame("pulled", SubSignal.MP, 1, ([start], 4, 4)),
        SentFrame("pulled", SubSignal.MP, 0, ([end], 0, 0)),
    ]


async def test_a_transparent_message_of_another_conversation_does_not_wait(connector: Connector) -> None:
    phone = await connector.device(head=3)
    connector.events(Deliver(entry(4), [Entry("anna", 4)], "ben", ""))
    phone.transport.take()
    body = bye(connector, sender="cid")
    assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 0, ([body], 0, 0))]


async def test_typing_does_not_wait(connector: Connector) -> None:
    phone = connector.accept()
    await connector.log_in(phone, head=9, mark=3)  # what it lacks is not at hand
    phone.transport.take()
    body = bye(connector, kind=ContentType.TYPING)
    assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 0, ([body], 0, 0))]
    bye(connector)
    assert phone.transport.take() == []


async def test_a_transparent_message_waits_for_a_while_only(connector: Connector) -> None:
    due: list[tuple[float, Callable[[], None]]] = []
    connector.hub.table.later = lambda seconds, action: due.append((seconds, action))  # type: ignore[method-assign]
    phone = await connector.device(head=3)
    connector.events(Deliver(entry(4), [Entry("anna", 4)], "ben", ""))
    bodies = [bye(connector, id=500 + n) for n in range(MAX_HELD + 1)]
    pushed = [sent.body[0][0] for sent in phone.transport.take("pulled")]
    assert pushed == bodies[:1], "no more than MAX_HELD wait"
    assert {seconds for seconds, _ in due} == {HELD_SECONDS}
    for _, action in due:
        action()
    assert [sent.body[0][0] for sent in phone.transport.take("pulled")] == bodies[1:]


async def test_a_ping_and_a_pull_that_comes_with_it_show_nothing(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(1)
    phone.pull(0)
    phone.send(Signal.PING, b"{}")
    phone.transport.take()
    phone.pull(1)
    assert phone.transport.take("pulled")[0].body[1] == 1
    assert phone.session.logs is not None
    assert phone.session.logs.inbox.mark == 0
