"""A server that is killed between a message and its webhook tells it when it is back; receivers may die as well."""

import json
from pathlib import Path

import pytest

from tools.testing.devices import Handset, log_in
from tools.testing.hook_receiver import SECRET, HookReceiver, hang, taken
from tools.testing.server import Server, until

pytestmark = pytest.mark.slow

ANNA, BEN = "13800000001", "13800000002"


async def test_what_was_stored_is_told_after_a_kill_and_after_the_receiver_died(tmp_path: Path) -> None:
    async with HookReceiver() as receiver:
        hook = {"name": "one", "url": receiver.url, "secret": SECRET, "events": ["message.stored"]}
        settings = {"WEBHOOKS__HOOKS": json.dumps([hook]), "WEBHOOKS__SECONDS": "5"}
        async with Server(tmp_path / "data", settings) as server:
            anna, ben = await log_in(server.at, ANNA, "phone"), await log_in(server.at, BEN, "phone")
            async with Handset(anna, server.at, "tcp") as device:
                await device.send(ben.user_id, "told")
                await until(lambda: receiver.texts() == ["told"])
                receiver.answer = hang
                for number in range(5):
                    await device.send(ben.user_id, f"stored {number}")
                await until(lambda: receiver.under_way)
                await server.kill()
                receiver.answer = taken
                await server.start()
                said = ["told", *(f"stored {number}" for number in range(5))]
                await until(
                    lambda: list(dict.fromkeys(receiver.texts())) == said, lambda: str(receiver.texts())
                )
                await receiver.close()
                await device.send(ben.user_id, "nobody there")
                await until(lambda: server.logged("a webhook fails"))
                await receiver.open()
                await until(lambda: receiver.texts()[-1] == "nobody there")
                assert len(receiver.events) <= len(said) + 2  # only what was being told may come twice
