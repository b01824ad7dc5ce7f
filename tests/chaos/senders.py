"""Devices that send all the time, and what must hold of what was acknowledged to them."""

import asyncio
import random
import time
from dataclasses import replace
from functools import partial
from itertools import count

from fsharechat.client import SentMessage
from tools.testing.devices import FAST, Handset, check_same, log_in, text_of
from tools.testing.server import BOUND, ServerAddresses

UNANSWERED = 8
PAGE = 200
# However long a start takes on a busy machine, nobody gives up.
PATIENT = replace(FAST, send_timeout=2 * BOUND, request_timeout=BOUND)


class Sender:
    """A device that sends numbered texts to one user, several at a time, each until it is acknowledged."""

    def __init__(self, device: Handset, to: str) -> None:
        self.device = device
        self.to = to
        self.sent: dict[str, int] = {}
        """The local id of each text, in the order of sending."""
        self.acknowledged: dict[str, SentMessage] = {}
        self._numbers = count()
        self._cut_off: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Send all the time until `stop`; return when everything is acknowledged."""
        room = asyncio.Semaphore(UNANSWERED)
        async with asyncio.TaskGroup() as tasks:
            while not stop.is_set():
                await room.acquire()
                text = f"{self.device.credentials.client_id} {next(self._numbers)}"
                self.sent[text] = len(self.sent) + 1
                task = tasks.create_task(self._send(text))
                task.add_done_callback(lambda _: room.release())

    async def _send(self, text: str) -> None:
        self.acknowledged[text] = await self.device.send(self.to, text, local_id=self.sent[text])

    async def send_again(self, dice: random.Random, texts: int) -> None:
        """Repeat some acknowledged messages: each must be found, not stored again."""
        some = dice.sample(list(self.acknowledged), min(texts, len(self.acknowledged)))
        for text in some:
            again = await self.device.send(self.to, text, local_id=self.sent[text])
            assert again == self.acknowledged[text], f"{text!r} was acknowledged, and stored again"

    def note_the_kill(self) -> None:
        """Remember what is unanswered now, and the time (ms)."""
        now = time.time_ns() // 1_000_000
        self._cut_off |= {text: now for text in self.sent if text not in self.acknowledged}

    def texts_and_ids(self) -> list[tuple[str, int]]:
        """Return what was sent, in that order, and the id that each was acknowledged with."""
        return [(text, self.acknowledged[text].message_id) for text in self.sent]

    @property
    def resent(self) -> int:
        return self.device.resent

    @property
    def found(self) -> int:
        """How many were stored but not answered when the server was killed: a resend found their first copy."""
        return sum(self.acknowledged[text].timestamp <= then for text, then in self._cut_off.items())


async def patient_device(at: ServerAddresses, number: str, transport: str) -> Handset:
    return Handset(await log_in(at, number, f"{transport}-{number}"), at, transport, options=PATIENT)


async def everything_came(senders: list[Sender], receivers: list[Handset]) -> None:
    """Each receiver got every acknowledged message once, under its id, in the order of its sender."""
    for receiver in receivers:
        mine = [sender for sender in senders if sender.to == receiver.user_id]
        count = sum(len(sender.acknowledged) for sender in mine)
        await receiver.until_received(count, partial(_what_lacks, receiver, mine))
        assert receiver.gaps() == []
        counts = len(receiver.received), len(set(receiver.ids())), len(receiver.pulled)
        assert counts == (len(receiver.received),) * 3, "a message came twice"
        for sender in mine:
            came = [
                (text_of(message), message.message_id)
                for message in receiver.received
                if message.from_user == sender.device.user_id
            ]
            check_same(came, sender.texts_and_ids(), "what came")


def _what_lacks(receiver: Handset, senders: list[Sender]) -> str:
    came = set(receiver.ids())
    lost = [
        (sender.device.credentials.client_id, sender.sent[text], sent.message_id)
        for sender in senders
        for text, sent in sender.acknowledged.items()
        if sent.message_id not in came
    ]
    return (
        f"{receiver.credentials.client_id} ({receiver.connected=}, {receiver.position}) has {len(came)} messages; "
        f"it lacks {len(lost)}: {lost[:5]} to {lost[-5:]}; the last that came: {receiver.ids()[-5:]}"
    )


async def everything_is_stored_once(senders: list[Sender]) -> None:
    for sender in senders:
        history = await sender.device.whole_history(sender.to, PAGE)
        stored = [(text_of(message), message.message_id) for message in reversed(history)]
        check_same(stored, sender.texts_and_ids(), "what is stored")
