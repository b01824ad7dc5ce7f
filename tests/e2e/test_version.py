"""A running server says which version it is: in its log, to who asks whether it lives, and in its metrics."""

import json
import platform
from pathlib import Path

import aiohttp
import pytest

from fsharechat import __version__
from tools.testing.server import Server


async def test_the_version_of_a_server(tmp_path: Path) -> None:
    async with Server(tmp_path / "data", {"METRICS__PORT": "0"}) as server:
        first = json.loads(server.errors.splitlines()[0])
        assert first["event"] == "starting"
        assert (first["version"], first["python"]) == (__version__, platform.python_version())
        assert first["roles"] == ["connector", "group", "api", "media"]
        metrics = server.addresses["metrics"]
        async with aiohttp.ClientSession() as http:
            for address in (server.at.http, metrics.removesuffix("/metrics")):
                async with http.get(f"{address}/monitor/alive") as answer:
                    assert await answer.json() == {"code": 200, "version": __version__}
            async with http.get(metrics) as answer:
                [line] = [
                    line
                    for line in (await answer.text()).splitlines()
                    if line.startswith("fsharechat_build_info{")
                ]
                for label in (f'version="{__version__}"', f'python="{platform.python_version()}"'):
                    assert label in line
                assert 'roles="connector,group,api,media"' in line


async def test_a_server_that_cannot_start_has_said_so_before(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    server = Server(tmp_path / "data")
    with pytest.raises(AssertionError, match="ended with exit code 1"):
        await server.start()
    assert json.loads(server.errors.splitlines()[0])["version"] == __version__
