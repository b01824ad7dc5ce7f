"""One user's many requests that reach thousands take turns; nobody else waits behind them."""

import asyncio
import gc

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from roles.group.turns import Turns
from tests.unit.group.group_kit import Office
from tests.unit.group.groups_kit import create


async def test_turns_are_in_order_for_each_key_and_leave_nothing() -> None:
    turns = Turns()
    done: list[str] = []
    may_end = asyncio.Event()

    async def one(key: str, name: str) -> None:
        async with turns.turn(key):
            done.append(f"{name} in")
            if key == "ann":
                await may_end.wait()
            done.append(f"{name} out")

    tasks = [asyncio.create_task(one("ann", f"ann{n}")) for n in range(3)]
    given_up = tasks.pop(1)
    await asyncio.sleep(0)
    await one("bob", "bob")
    given_up.cancel()
    assert done == ["ann0 in", "bob in", "bob out"]
    may_end.set()
    await asyncio.gather(*tasks)
    assert done[3:] == ["ann0 out", "ann2 in", "ann2 out"]
    del tasks, given_up
    gc.collect()
    assert len(turns) == 0


async def test_a_flood_of_changes_and_reports_of_one_user_lets_others_in_between(office: Office) -> None:
    ann, ben, *others = await office.users(302)
    large, small = await create(office, ann, *others), await create(office, ben)
    answered: list[str] = []

    async def ask(uid: str, group: str, n: int) -> None:
        if n % 2:
            request: pb.ReadReport | pb.ModifyGroupInfoRequest = pb.ReadReport(type=1, target=group, date=n)
            code = await office.code(uid, SubSignal.MRR, request)
        else:
            request = pb.ModifyGroupInfoRequest(group_id=group, type=0, value=str(n))
            code = await office.code(uid, SubSignal.GMI, request)
        assert code == Code.SUCCESS
        answered.append(uid)

    flood = [asyncio.create_task(ask(ann, large, n)) for n in range(50)]
    await asyncio.sleep(0)
    await ask(ben, small, 0)
    assert len(answered) < 25
    await asyncio.gather(*flood)
    assert len(answered) == 51
