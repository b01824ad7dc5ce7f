"""`--dev` where other machines reach the server: nobody gets in by a code that is known."""

import re
from pathlib import Path

import pytest

from fsharechat.client import LoginError, login
from tools.testing.server import SUPER_CODE, Server

NUMBER = "13800000001"


async def test_the_known_super_code_is_good_on_this_machine_alone(tmp_path: Path) -> None:
    async with Server(tmp_path / "data", {"API__HOST": "0.0.0.0"}) as server:
        with pytest.raises(LoginError):
            await login(server.at.http, NUMBER, SUPER_CODE, "phone")
        made = re.search(r"^super code: (\w+)$", server.output, re.MULTILINE)
        assert made
        assert (await login(server.at.http, NUMBER, made[1], "phone")).registered
        assert made[1] not in server.errors
