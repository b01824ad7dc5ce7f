"""A back-up of a server that people use, and a server that starts from it."""

import asyncio
import os
from pathlib import Path

import pytest
from aiohttp import ClientSession

from fsharechat.client import Position
from tools.testing.devices import Handset, log_in, text_of
from tools.testing.server import Server, run_command, until

pytestmark = pytest.mark.slow

TEXTS = 100


async def test_a_server_goes_on_from_a_backup_that_was_made_under_load(tmp_path: Path) -> None:
    async with Server(tmp_path / "old" / "data") as server:
        ann_login = await log_in(server.at, "13800000001", "phone")
        ben_login = await log_in(server.at, "13800000002", "phone")
        ben_at: Position
        async with Handset(ann_login, server.at, "tcp") as ann:
            async with Handset(ben_login, server.at, "ws") as ben:
                await ann.send_all(ben.user_id, [f"before {n}" for n in range(TEXTS)])
                await ben.until_received(TEXTS)
                ben_at = ben.position
            picture = os.urandom(300_000)
            (tmp_path / "picture.bin").write_bytes(picture)
            await ann.media.send_file(ben.user_id, tmp_path / "picture.bin")
            acknowledged = [f"away {n}" for n in range(TEXTS)]
            await ann.send_all(ben.user_id, acknowledged)

            stop = asyncio.Event()
            sent = 0

            async def load() -> None:
                nonlocal sent
                while not stop.is_set():
                    await ann.send_all(ben.user_id, [f"meanwhile {sent + n}" for n in range(50)])
                    sent += 50

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load())
                await until(lambda: sent > 0)
                code, output, errors = await asyncio.to_thread(
                    run_command, server.data, str(tmp_path / "backups"), command="backup"
                )
                stop.set()
            assert code == 0, output + errors
            assert "1 files of media, 300,000 bytes" in output

    new = tmp_path / "new" / "data"
    new.parent.mkdir()
    code, output, errors = await asyncio.to_thread(
        run_command, new, str(tmp_path / "backups"), command="restore"
    )
    assert code == 0, output + errors
    async with Server(new) as restored, Handset(ben_login, restored.at, "tcp", position=ben_at) as ben:
        await ben.until_received(1 + TEXTS)
        assert ben.position.seq >= ben_at.seq
        found = ben.received
        assert [text_of(message) for message in found[1 : 1 + TEXTS]] == acknowledged
        assert len(set(ben.ids())) == len(ben.ids())
        address = found[0].content.remote_media_url
        here = address.replace(address.partition("/media/")[0], restored.at.http)
        async with ClientSession() as http, http.get(here) as answer:
            assert await answer.read() == picture
        # Both go on, with the logins that they had.
        async with Handset(ann_login, restored.at, "ws") as ann:
            await ann.send(ben.user_id, "after")
            await until(lambda: "after" in ben.texts_of(ann.user_id))
