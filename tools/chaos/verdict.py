"""The result of every message, fault by fault, compared with the promises."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fsharechat.protocol.signals import ContentType

from .ledger import LedgerEntry
from .scenario import GHOST_SECONDS, Fault
from .swarm import Swarm

SHOWN = 5


@dataclass
class RunVerdict:
    """The faults that were found; empty if all is well."""

    wrong: list[str] = field(default_factory=list)

    def add(self, what: str, cases: Sequence[str]) -> None:
        if cases:
            more = f" and {len(cases) - SHOWN} more" if len(cases) > SHOWN else ""
            self.wrong.append(f"{len(cases)} {what}: {'; '.join(cases[:SHOWN])}{more}")


async def judge(swarm: Swarm, faults: Iterable[Fault], verdict: RunVerdict) -> None:
    """Compare the acknowledged messages with the arrivals and the inboxes."""
    ledger = swarm.ledger
    verdict.add("messages not acknowledged", [str(s) for s in ledger.messages.values() if not s.acknowledged])
    verdict.add("messages lost", [str(sent) for sent in ledger.missing()])
    verdict.add("recalls that somebody was not told of", ledger.untold())
    verdict.add("read reports that did not become known", [str(key) for key in ledger.unread()])
    verdict.add("strange messages", ledger.strange)
    for member in swarm.members:
        ids = [message_id for *_, message_id in member.came]
        verdict.add(f"messages twice to {member.number}", _repeated(ids))
        verdict.add(f"messages to {member.number} out of order", _disordered(member.came))
        await _judge_inbox(swarm, member.number, verdict)
    verdict.add("messages stored twice", [str(s) for s in ledger.messages.values() if len(s.ids) > 1])
    verdict.add(
        f"kills with ghosts after {GHOST_SECONDS:g} s",
        [f"{fault.what}: {fault.ghosts}" for fault in faults if fault.ghosts],
    )


async def _judge_inbox(swarm: Swarm, number: int, verdict: RunVerdict) -> None:
    """Check an inbox: it has no hole, has each message to and by the user once, and came in its order.

    A recalled message has no text left.
    """
    member = swarm.members[number]
    found, head = await swarm.inbox(number)
    if head - member.begin != len(found):
        verdict.add("inboxes with holes", [f"{number}: {len(found)} from {member.begin} to {head}"])
    entries: list[tuple[int, int, int]] = []
    mine: list[tuple[int, int, int]] = []
    for message in found:
        sent = swarm.ledger.find(message)
        if sent is None:
            verdict.add("unknown entries", [f"{number}: {message.content.searchable_content!r}"])
            continue
        if sent.recalled is not None and message.content.type != ContentType.RECALLED:
            verdict.add("recalled messages that can still be read", [f"{number}: {sent}"])
        sent.ids.add(message.message_id)
        (mine if sent.sender == number else entries).append((sent.sender, sent.number, message.message_id))
    verdict.add(f"entries of {number} out of order", _disordered(entries) + _disordered(mine))
    if entries != member.came:
        verdict.add("inboxes that came in another order", [f"{number}"])
    wanted = {s.message_id for s in swarm.ledger.messages.values() if s.sender == number and s.acknowledged}
    if wanted - {message_id for *_, message_id in mine}:
        verdict.add("own messages missing", [f"{number}"])


def _disordered(entries: Sequence[tuple[int, int, int]]) -> list[str]:
    """Return messages that came after a later one of the same sender, by number or id."""
    last: dict[int, tuple[int, int]] = {}
    found = []
    for sender, number, message_id in entries:
        before = last.get(sender, (0, 0))
        if number <= before[0] or message_id <= before[1]:
            found.append(f"{number} after {before[0]} of {sender}")
        last[sender] = (number, message_id)
    return found


def _repeated(ids: Sequence[int]) -> list[str]:
    seen: set[int] = set()
    return [str(one) for one in ids if one in seen or seen.add(one)]  # type: ignore[func-returns-value]


def table(swarm: Swarm, faults: Sequence[Fault], begun: float, rate: float) -> str:
    """Return a row for each fault, and one for all."""
    head = [
        "fault",
        "at s",
        "undone s",
        "acked",
        "resent",
        "slowest send s",
        "recovered s",
        "lost",
        "doubled",
        "ghosts",
    ]
    rows = [head]
    messages = list(swarm.ledger.messages.values())
    for fault in faults:
        rows.append([fault.what, f"{fault.begun - begun:.0f}", f"{fault.undone - fault.begun:.1f}"])
        rows[-1] += _figures(swarm, messages, fault.begun, fault.end)
        rows[-1].append("" if fault.ghosts is None else str(fault.ghosts))
    last = max((sent.arrived or 0.0 for sent in messages), default=begun)
    ghosts = sum(fault.ghosts or 0 for fault in faults)
    all_of_it = [f"all, {len(faults)} faults, {rate:g}/s", f"{last - begun:.0f}", ""]
    rows.append([*all_of_it, *_figures(swarm, messages, begun, last + 1), str(ghosts)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([lines[0], *lines[1:-1], "-" * len(lines[0]), lines[-1]])


def summary(swarm: Swarm) -> str:
    """Return the counts that have no column in the table."""
    ledger = swarm.ledger
    messages = [sent for sent in ledger.messages.values() if sent.acknowledged is not None]
    return (
        f"{sum(len(sent.to) > 1 for sent in messages)} of {len(messages)} messages to groups, "
        f"{len(ledger.recalls())} recalled, {len(ledger.untold())} untold, "
        f"{len(ledger.reads)} read reports, {len(ledger.unread())} unknown"
    )


def _figures(swarm: Swarm, messages: Sequence[LedgerEntry], begin: float, end: float) -> list[str]:
    """Count what happened from `begin` to `end`."""
    acknowledged = [s for s in messages if s.acknowledged is not None and begin <= s.acknowledged < end]
    # An older message waits for this fault from its beginning on; one that lasts longer counts for the next fault.
    living = [s for s in messages if s.started < end and (s.arrived is None or s.arrived > begin)]
    sends = [min(s.acknowledged or end, end) - max(s.started, begin) for s in living]
    arrivals = [min(s.arrived or end, end) - max(s.started, begin) for s in living]
    return [
        str(len(acknowledged)),
        str(sum(begin <= moment < end for moment in swarm.ledger.resent)),
        f"{max(sends, default=0):.1f}",
        f"{max(arrivals, default=0):.1f}",
        str(sum(s.arrived is None for s in acknowledged)),
        str(sum(len(s.ids) > 1 for s in messages if begin <= s.started < end)),
    ]
