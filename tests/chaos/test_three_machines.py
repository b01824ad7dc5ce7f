"""Three machines with everything on each, as in docs/cluster.md: one of them fails under load, then all are upgraded.

Each machine is a network namespace with a disk of its own. The test starts all of it. It needs root.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from fsharechat.store.mysql_pulse import AWAY
from tests.cluster.circle import make_circle, two_strangers_talk
from tests.cluster.rolling import Pair, RollingChat, get_through, make_pair
from tools.cluster.network import free_network
from tools.services.command import EXIT_FAILED
from tools.services.places import ROOT
from tools.testing.devices import FAST
from tools.testing.hook_receiver import SECRET, HookReceiver
from tools.testing.machines import LiveMachines
from tools.testing.previous import previous_version
from tools.testing.server import BOUND, run_command, until

pytestmark = pytest.mark.slow

PAIRS = 6
PACE_SECONDS = 0.2
LASTS_SECONDS = 12.0
"""How long a fault lasts: longer than a lease, `[registry] session_seconds`."""
CHANGED_TABLES = "made by another version of fsharechat"
REFUSALS = 3
"""So often a version that cannot read the tables tries, and is told so, before the test goes on."""
# Over WebSocket a refusal has no code, so a client does not know that it is worth another attempt: people send again.
STUBBORN = replace(FAST, send_timeout=10 * BOUND, unexplained_retries=1_000_000)


class MachineFault(NamedTuple):
    """What happens to a machine, and how it is undone."""

    name: str
    machine: str
    do: Callable[[LiveMachines, str], None]
    undo: Callable[[LiveMachines, str], None]


def repair(it: LiveMachines, machine: str) -> None:
    """Make room on a full disk, and start what it has ended. The database runs, but may have left its cluster."""
    it.empty(machine)
    it.stop(machine.replace("machine", "galera"))
    it.start(machine)


# All processes write to the database of the first machine until they lose it, then to that of the second.
FAULTS = (
    MachineFault("disk full", "machine-1", LiveMachines.fill, repair),
    MachineFault("killed", "machine-2", LiveMachines.kill, LiveMachines.start),
    MachineFault("frozen", "machine-3", LiveMachines.pause, LiveMachines.resume),
    MachineFault("cut off from all", "machine-1", LiveMachines.cut, LiveMachines.mend),
    MachineFault("cut off from the others", "machine-2", LiveMachines.cut_from_others, LiveMachines.mend),
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
        resent = sum(pair.sender.resent for pair in pairs)
        print(f"{total} messages, {resent} sent again, {len(receiver.events)} told")


async def test_the_version_before_is_upgraded_on_all_machines_and_no_send_fails(
    machines: LiveMachines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As docs/cluster.md says: check, one machine after the other, then the fence.

    A send has failed if the client gave it up. A refused one has failed, too, also if the next attempt succeeded;
    but not where the database did not answer within a second, as on a busy machine. A client whose connection ends
    sends again what was not acknowledged: this is counted, and no failure.
    """
    before = previous_version()
    loop = asyncio.get_running_loop()
    rows: list[str] = []
    async with AsyncExitStack() as stack:
        await asyncio.to_thread(machines.bring_up, free_network(machines.name).number, tree=before)
        assert set(machines.trees().values()) == {before}
        pairs = [
            await make_pair(machines, number, stack, PACE_SECONDS, STUBBORN, second_devices=True)
            for number in range(PAIRS)
        ]
        circle = await make_circle(machines, stack, PACE_SECONDS, STUBBORN, second_devices=True)
        chats: list[RollingChat] = [*pairs, circle]

        async def timed(what: str, change: Callable[[], Awaitable[None]]) -> None:
            await get_through(chats)
            begun = loop.time()
            await change()
            await machines.until_well()
            await get_through(chats)
            rows.append(f"{what:40} {stand_still(chats, begun, loop.time()):6.1f}")
            await two_strangers_talk(machines, STUBBORN)

        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for chat in chats:
                tasks.create_task(chat.chat(stop))
            assert "is older" in await command(machines, tmp_path, "check")
            for name in machines.names_of_machines:
                await timed(f"{name} upgraded", partial(asyncio.to_thread, machines.replace, name))
            assert set(machines.trees().values()) == {ROOT}
            await timed("the last one back, and forth again", partial(go_back, machines, before, chats))
            assert set(machines.trees().values()) == {ROOT}
            await command(machines, tmp_path, "fence")
            await get_through(chats)
            stop.set()
        senders = [*(pair.sender for pair in pairs), *circle.writers]
        resent = sum(one.resent for one in senders)
        refused = sum((one.refused for one in senders), Counter[int | None]())
        unanswered = sum(machines.log(name).count(f'"{AWAY}"') for name in machines.names("group"))
        with capsys.disabled():
            print(f"\n{'sending stood still, s':40}")
            print("\n".join(rows))
            total = sum(len(chat.acknowledged) for chat in chats)
            print(f"{total} messages, {resent} sent again, {circle.repeated} other requests asked again")
            print(f"{refused.total()} refused; the database did not answer in time {unanswered} times")
        assert unanswered or not refused, f"refused sends, by code: {dict(refused)}"
        for pair in pairs:
            await pair.check()
        await circle.check()
        await machines.until_known()
    # A process that gets no turn for long loses its lease, and says so as an error. A bug has a traceback.
    assert [fault for fault in machines.faults() if "Traceback" in fault] == []
    assert [name for name in machines.names() if "another release" in machines.log(name)] == []


async def go_back(it: LiveMachines, before: Path, chats: Sequence[RollingChat]) -> None:
    """Give the last machine the version before, and this one again.

    A version that knows no fence does not start on tables that a newer one has changed. It says so, and tries again,
    while the roles beside it run. The command would wait two minutes for it, so it is ended after some refusals.
    """
    last = it.names_of_machines[-1]
    if (before / "fsharechat" / "store" / "fence.py").exists():
        await asyncio.to_thread(it.replace, last, before)
    else:
        refused = last.replace("machine", "group")
        async with asyncio.TaskGroup() as tasks:
            start = tasks.create_task(asyncio.to_thread(it.run, "restart", last, "--tree", str(before)))
            await until(
                lambda: it.log(refused).count(CHANGED_TABLES) >= REFUSALS,
                lambda: f"{refused} was not refused: {it.log(refused)[-2000:]}",
            )
            await get_through(chats)
            await asyncio.to_thread(it.terminate, refused)
        done = start.result()
        assert done.returncode == EXIT_FAILED
        assert CHANGED_TABLES in done.stderr
    await asyncio.to_thread(it.replace, last)


async def command(it: LiveMachines, folder: Path, name: str) -> str:
    """Run a command of this version, which must end well, and return what it said."""
    run = partial(run_command, folder / "data", name, settings=it.settings_of_one_more())
    code, output, errors = await asyncio.to_thread(run)
    assert code == 0, output + errors
    return output


def stand_still(pairs: Sequence[RollingChat], begun: float, ended: float) -> float:
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
