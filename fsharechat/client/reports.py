"""Delivery and read reports, sent and received (contract.md sections 7 and 8: MDR, MRR, MRN and MRP)."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

from google.protobuf.message import Message

from fsharechat.client.errors import Disconnected, InvalidReply, RequestError, RequestTimeout
from fsharechat.client.models import MessagesDelivered, MessagesRead, ReportsChanged, group, private
from fsharechat.client.options import Backoff, Options
from fsharechat.client.transport import SendRequest, ask
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ConversationType, ReportType, SubSignal

log = logging.getLogger(__name__)

MAX_MARKS = 10_000
MAX_SENDERS = 200
"""How many senders a group's read report names. Beyond, the report goes to all members."""
ATTEMPTS = 5
PAUSE = 0.06
"""The time between two reports, s. It keeps them below the limit of section 8; each report covers all news."""

Learnt = MessagesDelivered | MessagesRead
_Key = tuple[SubSignal, int, str, int]


@dataclass(slots=True)
class _Mark:
    """A report to send: the latest one of its conversation."""

    date: int
    senders: set[str] | None = field(default_factory=set)
    """The receivers of a group's read report. None: all members."""
    attempts: int = 0

    def merge(self, date: int, senders: set[str] | None) -> None:
        self.date = max(self.date, date)
        if self.senders is None or senders is None or len(self.senders | senders) > MAX_SENDERS:
            self.senders = None
        else:
            self.senders |= senders


class Reports:
    """`Client.reports`: sends this user's reports, and receives those of others.

    `mark_read` and `mark_delivered` work in the background: they return at once, send only the latest report of a
    conversation, and keep it while there is no connection. `read` and `delivered` ask the server, and raise its
    refusals.
    """

    def __init__(self, request: SendRequest, options: Options, tell: Callable[[Learnt], None]) -> None:
        """`request` is Client.request. `tell` gets the events of `listen`."""
        self._request = request
        self._options = options
        self._tell = tell
        self._marks: dict[_Key, _Mark] = {}  # ordered: the oldest goes first
        self._marked = asyncio.Event()
        self._due: dict[int, int] = {}
        self._fetched: dict[int, int] = {ReportType.DELIVERED: 0, ReportType.READ: 0}
        self._told = asyncio.Event()

    async def delivered(self, uid: str, date: int) -> None:
        """Report that messages from `uid` to this user up to `date` (ms, a message's server time) have arrived."""
        await self._request(SubSignal.MDR, pb.DeliveryReport(date=date, target=uid))

    async def read(self, conversation: pb.Conversation, date: int, senders: Iterable[str] = ()) -> None:
        """Report that the user has read a conversation up to `date` (ms, a message's server time).

        In a group `senders` (the authors of the read messages) are told; without them, all members.
        """
        await self._request(SubSignal.MRR, _read_report(conversation, date, senders))

    async def pull(self, kind: ReportType, after: int = 0) -> pb.PullMessageReportResult:
        """Ask for the reports of one kind after the position `after`. This has no effect on events."""
        request = pb.PullMessageReportRequest(id=after + 1, type=kind)
        return await ask(self._request, SubSignal.MRP, request, pb.PullMessageReportResult)

    def mark_delivered(self, uid: str, date: int) -> None:
        """Report as `delivered` does, in the background."""
        self._mark((SubSignal.MDR, ConversationType.PRIVATE, uid, 0), date, set())

    def mark_read(self, conversation: pb.Conversation, date: int, senders: Iterable[str] = ()) -> None:
        """Report as `read` does, in the background."""
        named = set(senders)
        key = SubSignal.MRR, conversation.type, conversation.target, conversation.line
        self._mark(key, date, named or None if conversation.type == ConversationType.GROUP else named)

    def notify(self, notice: ReportsChanged) -> None:
        """Take an MRN: the reports after `head` - 1 must be pulled."""
        self._pull_after(notice.type, notice.head - 1)

    async def speak(self, request: SendRequest) -> NoReturn:
        """Send the marked reports, one at a time, on one connection. Raises Disconnected."""
        backoff = Backoff(self._options.backoff_first, self._options.backoff_max)
        while True:
            while not self._marks:
                self._marked.clear()
                await self._marked.wait()
            key = next(iter(self._marks))
            mark = self._marks.pop(key)
            try:
                await request(key[0], _report(key, mark))
            except Disconnected:
                self._keep(key, mark)
                raise
            except (RequestError, RequestTimeout, InvalidReply) as error:
                mark.attempts += 1
                if mark.attempts < ATTEMPTS:
                    self._keep(key, mark)
                else:
                    log.info("a %s is given up: %s", key[0].name, error)
                await asyncio.sleep(backoff.next())
            except asyncio.CancelledError:
                self._keep(key, mark)  # telling it twice does no harm
                raise
            else:
                backoff.reset()
                await asyncio.sleep(PAUSE)

    async def listen(self, request: SendRequest) -> NoReturn:
        """Pull missed reports, then answer each MRN, on one connection. Raises Disconnected."""
        backoff = Backoff(self._options.backoff_first, self._options.backoff_max)
        for kind, seq in self._fetched.items():
            self._pull_after(kind, seq)
        while True:
            while not self._due:
                self._told.clear()
                await self._told.wait()
            kind, after = self._due.popitem()
            try:
                query = pb.PullMessageReportRequest(id=after + 1, type=kind)
                result = await ask(request, SubSignal.MRP, query, pb.PullMessageReportResult)
            except (RequestError, RequestTimeout, InvalidReply) as error:
                delay = backoff.next()
                log.warning("the reports were not answered, asking again in %.1f s: %s", delay, error)
                self._pull_after(kind, after)
                await asyncio.sleep(delay)
                continue
            backoff.reset()
            self._fetched[kind] = result.current
            if after < result.current < result.head:
                self._pull_after(kind, result.current)
            for report in result.report:
                self._tell(_learnt(report))

    def _mark(self, key: _Key, date: int, senders: set[str] | None) -> None:
        mark = self._marks.get(key)
        if mark is None:
            self._marks[key] = _Mark(date, senders)
        else:
            mark.merge(date, senders)
        if len(self._marks) > MAX_MARKS:
            del self._marks[next(iter(self._marks))]
        self._marked.set()

    def _keep(self, key: _Key, mark: _Mark) -> None:
        newer = self._marks.setdefault(key, mark)
        if newer is not mark:
            newer.merge(mark.date, mark.senders)

    def _pull_after(self, kind: int, seq: int) -> None:
        self._due[kind] = min(self._due.get(kind, seq), seq)
        self._told.set()


def _report(key: _Key, mark: _Mark) -> Message:
    sub_signal, kind, target, line = key
    if sub_signal is SubSignal.MDR:
        return pb.DeliveryReport(date=mark.date, target=target)
    conversation = pb.Conversation(type=kind, target=target, line=line)
    return _read_report(conversation, mark.date, mark.senders or ())


def _read_report(conversation: pb.Conversation, date: int, senders: Iterable[str]) -> pb.ReadReport:
    return pb.ReadReport(
        type=conversation.type,
        line=conversation.line,
        target=conversation.target,
        date=date,
        tos=sorted(set(senders)) if conversation.type == ConversationType.GROUP else (),
    )


def _learnt(report: pb.MessageReport) -> Learnt:
    if report.report_type == ReportType.DELIVERED:
        return MessagesDelivered(report.uid, report.date)
    # Section 8: the target is the reporter in a private conversation, else the group.
    conversation = private(report.uid) if report.target == report.uid else group(report.target)
    return MessagesRead(report.uid, conversation, report.date)
