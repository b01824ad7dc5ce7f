"""All that is stored about a user: written into a folder, and deleted, while others chat."""

import asyncio
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from fsharechat.client import LoginError, login
from fsharechat.protocol.signals import ContentType
from tools.testing.devices import Handset, log_in, text_of
from tools.testing.server import BOUND, SUPER_CODE, Server, until

pytestmark = pytest.mark.slow

KEY = "a-key-of-the-back-office"
ANN, BEN, CAT = "13800000001", "13800000002", "13800000003"
TEXTS = 250
"""More than a page."""


def admin(server: Server, *arguments: str) -> tuple[int, str]:
    """Run a command of the administration, and return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fsharechat", "admin", *arguments, "--url", server.at.http],
        env={**os.environ, "FSHARECHAT_API__KEY": KEY},
        cwd=server.data.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=BOUND,
    )
    return done.returncode, done.stdout


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def files_of(device: Handset) -> list[str]:
    return [one.content.remote_media_url for one in device.received if one.content.remote_media_url]


async def test_a_user_is_exported_and_deleted(tmp_path: Path) -> None:
    async with Server(tmp_path / "data", {"API__KEY": KEY}) as server:
        logins = [await log_in(server.at, number, "phone") for number in (ANN, BEN, CAT)]
        async with (
            Handset(logins[0], server.at, "tcp") as ann,
            Handset(logins[1], server.at, "ws") as ben,
            Handset(logins[2], server.at, "tcp") as cat,
        ):
            group = await ann.groups.create("ours", [ben.user_id, cat.user_id])
            await ann.send_all(ben.user_id, [f"secret {n}" for n in range(TEXTS)])
            await ann.media.send_file(ben.user_id, b"her own file", name="own.txt")
            await ben.media.send_file(ann.user_id, b"of ben", name="ben.txt")
            for who in (ann, ben):
                await until(partial(files_of, who))
            [of_ben], [own] = files_of(ann), files_of(ben)
            forwarded = next(one.content for one in ann.received if one.content.remote_media_url == of_ben)
            await ann.send(cat.user_id, forwarded)

        folder = tmp_path / "export"
        code, said = await asyncio.to_thread(admin, server, "users", "export", ANN, str(folder))
        assert code == 0, said
        [profile] = lines(folder / "profile.jsonl")
        assert (profile["uid"], profile["number"]) == (ann.user_id, ANN)
        sent = lines(folder / "sent.jsonl")
        texts = [one["content"].get("searchableContent") for one in sent]
        assert {f"secret {n}" for n in range(TEXTS)} <= set(texts)
        assert len(lines(folder / "inbox.jsonl")) >= TEXTS + 2
        assert [one["id"] for one in lines(folder / "groups.jsonl")] == [group]
        media = json.loads((folder / "media.json").read_text())
        assert [(folder / name).read_bytes() for name in media.values()] == [b"her own file"]
        code, said = await asyncio.to_thread(admin, server, "users", "export", ANN, str(folder))
        assert (code, "is not empty" in said) == (2, True)

        code, said = await asyncio.to_thread(admin, server, "users", "delete", ANN)
        assert (code, "--yes" in said) == (2, True)
        code, said = await asyncio.to_thread(admin, server, "users", "delete", ANN, "--yes")
        assert code == 0, said
        code, said = await asyncio.to_thread(admin, server, "users", "get", ANN)
        assert (code, "there is no such user" in said) == (1, True)
        assert server.errors.count('"event":"a user was deleted"') == 1
        assert '"op":"users.delete"' in server.errors

        # For the others the conversation is whole, without her texts.
        new_ben = await log_in(server.at, BEN, "tablet")
        async with Handset(new_ben, server.at, "tcp") as ben, ClientSession() as http:
            history = await ben.whole_history(ann.user_id, 100)
            of_ann = [one for one in history if one.from_user == ann.user_id]
            assert len(of_ann) == TEXTS + 1
            assert {one.content.type for one in of_ann} == {ContentType.RECALLED}
            assert not any("secret" in text_of(one) for one in of_ann)
            async with http.get(own) as answer:
                assert answer.status == 404
            async with http.get(of_ben) as answer:
                assert await answer.read() == b"of ben"
            members = await ben.groups.members(group)
            assert sorted(one.member_id for one in members if one.type != 4) == sorted(
                [ben.user_id, logins[2].user_id]
            )
        # The number is free, and whoever has it now is somebody else.
        again = await login(server.at.http, ANN, SUPER_CODE, "phone")
        assert again.user_id != ann.user_id
        with pytest.raises(LoginError):
            await login(server.at.http, ann.user_id, SUPER_CODE, "phone")
