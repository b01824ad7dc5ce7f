"""A process that leases a node id, for tests: `python -m tests.cluster.holder URL SECONDS KIND NODE ADDRESS`.

It prints `leased ID`. A line on standard input makes it stop itself as SIGSTOP does; woken again, it prints whether
it holds its lease, before anything else in it can run, and then what `on_change` tells, with the id at that moment.
"""

import asyncio
import os
import signal
import sys

from fsharechat.log import configure
from fsharechat.registry.zookeeper import ZooKeeperRegistry
from fsharechat.settings_schema import LogSettings


async def main(url: str, seconds: str, kind: str, node: str, address: str) -> None:
    configure(LogSettings())
    registry = ZooKeeperRegistry(url, float(seconds))
    await registry.open()
    lease = await registry.lease(kind, "auto" if node == "auto" else int(node), address)
    lease.on_change(lambda held: print(f"told {held}, {lease.node}", flush=True))
    print(f"leased {lease.node}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert lease.held
    os.kill(os.getpid(), signal.SIGSTOP)
    print(f"held {lease.held}", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
