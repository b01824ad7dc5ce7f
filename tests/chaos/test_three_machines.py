"""Three machines with everything on each, as in docs/cluster.md: one of them fails under load, then all are upgraded.

Each machine is a network namespace with a disk of its own. The test starts all of it. It needs root.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import pytest

from tests.cluster.rolling import Pair, get_through, make_pair
from tools.cluster.network import free_network
from tools.testing.devices import FAST
from tools.testing.hook_receiver import SECRET, HookReceiver
from tools.testing.machines import LiveMachines
from tools.testing.server import BOUND, until

pytestmark = pytest.mark.slow

PAIRS = 6
PACE_SECONDS = 0.2
LASTS_SECONDS = 12.0
"""How long a fault lasts: longer than a lease, `[registry] session_seconds`."""
# Over WebSocket a refusal has no code, so a client does not know that it is worth another attempt: people send again.
STUBBORN = replace(FAST, send_timeout=10 * BOUND, unexplained_retries=1_000_000)


class MachineFault(NamedTuple):
    """What happens to a machine, and how it is undone."""

    name: str
    machine: str
    do: Callable[[LiveMachines, str], None]
    undo: Callable[[LiveMachines, str], None]


def repair(it: LiveMachines, machine: str) -> None:
    """Make room on a full disk, and start what the full disk has ended. A database that cannot go on may hang."""
    it.empty(machine)
    it.kill(machine.replace("machine", "galera"))
    it.start(machine)


FAULTS = (
    MachineFault("killed", "machine-1", LiveMachines.kill, LiveMachines.start),
    MachineFault("frozen", "machine-2", LiveMachines.pause, LiveMachines.resume),
    MachineFault("cut off from all", "machine-3", LiveMachines.cut, LiveMachines.mend),
    MachineFault("cut off from the others", "machine-1", LiveMachines.cut_from_others, LiveMachines.mend),
    MachineFault("disk full", "machine-2", LiveMachines.fill, repair),
)


async def test_a_machine_that_fails_loses_nothing_and_an_upgrade_of_all_fails_no_send(
    machines: LiveMachines, capsys: pytest.CaptureFixture[str]
) -> None:
    network = free_network(machines.name)
    loop = asyncio.get_running_loop()
    rows: list[str] = []
    async with AsyncExitStack() as stack:
        receiver = HookReceiver(host="0.0.0.0")
        await stack.enter_async_context(receiver)
        hook = {"name": "one", "url": f"http://{network.front.host}:{receiver.port}/hook"}
        hooks = json.dumps([hook | {"secret": SECRET, "events": ["message.stored"]}])
        settings = {"FSHARECHAT_WEBHOOKS__HOOKS": hooks}
        await asyncio.to_thread(machines.bring_up, network.number, settings)
        pairs = [await make_pair(machines, number, stack, PACE_SECONDS, STUBBORN) for number in range(PAIRS)]
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as chats:
            for pair in pairs:
                chats.create_task(pair.chat(stop))
            for fault in FAULTS:
                await get_through(pairs)
                begun = loop.time()
                await asyncio.to_thread(fault.do, machines, fault.machine)
                await asyncio.sleep(LASTS_SECONDS)
                await get_through(pairs)
                undone = loop.time()
                await asyncio.to_thread(fault.undo, machines, fault.machine)
                await machines.until_well()
                await get_through(pairs)
                during, after = stand_still(pairs, begun, undone), stand_still(pairs, undone, loop.time())
                rows.append(f"{fault.name:25} {during:6.1f} {after:6.1f}")
            begun = loop.time()
            for name in machines.names_of_machines:
                await asyncio.to_thread(machines.restart, name)
            await get_through(pairs)
            rows.append(f"{'all upgraded':25} {stand_still(pairs, begun, loop.time()):6.1f}")
            stop.set()
        with capsys.disabled():
            print(f"\n{'sending stood still, s':25} during  after")
            print("\n".join(rows))
        for pair in pairs:
            await pair.check()
        await check_told(receiver, pairs)
    with capsys.disabled():
        total = sum(len(pair.acknowledged) for pair in pairs)
        resent = sum(pair.sender.asked.total() - len(pair.sender.asked) for pair in pairs)
        print(f"{total} messages, {resent} sent again, {len(receiver.events)} told")


def stand_still(pairs: Sequence[Pair], begun: float, ended: float) -> float:
    """Return the longest time within which a client got no acknowledgement at all, s."""
    return max(
        later - earlier
        for pair in pairs
        for earlier, later in pairwise([begun, *(at for at in pair.answered_at if begun < at < ended), ended])
    )


async def check_told(receiver: HookReceiver, pairs: Sequence[Pair]) -> None:
    """See that the webhook was told each message at least once, and those of a conversation in order."""
    wanted = {text for pair in pairs for text in pair.acknowledged}
    await until(
        lambda: wanted <= set(receiver.texts()),
        lambda: f"not told: {len(wanted - set(receiver.texts()))} of {len(wanted)}",
    )
    # An event that comes a second time has its first id.
    first = dict.fromkeys(receiver.texts())
    assert len(first) == len(set(receiver.ids())) == len(wanted)
    for pair in pairs:
        ids = [pair.acknowledged[text].message_id for text in first if text in pair.acknowledged]
        assert ids == sorted(ids)
