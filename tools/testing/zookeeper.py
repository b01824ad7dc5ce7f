"""A real ZooKeeper for tests that stop it."""

import asyncio
import os

from tools.testing.services import Services


class OwnZooKeeper:
    """One server in its own set. It keeps its data and its port over restarts."""

    def __init__(self) -> None:
        self._services = Services(f"test-zookeeper-{os.getpid()}")
        self.url = ""
        self.port = 0

    def up(self) -> None:
        self._services("zookeeper")
        self.url = self._services.url("zookeeper")
        self.port = self._services.port("zookeeper")

    def down(self) -> None:
        self._services.down()

    async def stop(self) -> None:
        await asyncio.to_thread(self._services.stop, "zookeeper")

    async def start(self) -> None:
        await asyncio.to_thread(self._services.start, "zookeeper")
