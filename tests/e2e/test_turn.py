"""Relays for calls: a real coturn takes what the server hands out, and nothing else."""

import asyncio
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import orjson
import pytest

from fsharechat.protocol import crypto
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from tests.e2e.in_process import Boot
from tools.services.coturn import CoturnDaemon
from tools.testing.services import Services
from tools.wire.clients import TcpWire, WebWire

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "calling.md"
HOST = "127.0.0.1"


async def relay(port: int, user: str, password: str) -> bool:
    """Return whether data come back through relays that are made with these credentials."""
    client = shutil.which("turnutils_uclient")
    assert client is not None
    command = [client, "-t", "-y", "-n", "1", "-u", user, "-w", password, "-p", str(port), HOST]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert ("Total lost packets 0 " in said) != ("Cannot complete Allocation" in said), said
    return "Total lost packets 0 " in said


async def ask(wire: TcpWire | WebWire) -> Mapping[str, object]:
    """Return what a client is told, in the keys of web clients."""
    if isinstance(wire, WebWire):
        answer: dict[str, object] = orjson.loads(await wire.request("TURN", {}))
        return answer
    code, payload = await wire.request(SubSignal.TURN, pb.Version(version=0).SerializeToString())
    assert code == Code.SUCCESS
    found = pb.TurnResult.FromString(payload)
    return {
        "urls": list(found.url),
        "username": found.username,
        "credential": found.credential,
        "ttl": found.ttl,
    }


async def test_what_the_server_hands_out_is_good_for_a_relay(boot: Boot, services: Services) -> None:
    variables = services("coturn").variables("coturn")
    url, port = variables["TURN_URL"], services.port("coturn")
    server = await boot(turn={"urls": [url], "secret": variables["TURN_SECRET"], "ttl_seconds": 600})
    for transport in ("tcp", "ws"):
        told = await ask(await server.online(transport, "ann"))
        assert (told["urls"], told["ttl"]) == ([url], 600)
        user, password = str(told["username"]), str(told["credential"])
        me = await server.login("ann")
        assert user.endswith(f":{me.user_id}")
        assert await relay(port, user, password)
        assert not await relay(port, user, password[:-4] + "AAA=")
        assert not await relay(port, f"{user}x", password)
        assert not await relay(port, f"1{user[1:]}" if user[0] != "1" else f"0{user[1:]}", password)
    token = crypto.login_token(me.user_token, me.secret, me.db_secret)
    async with (
        aiohttp.ClientSession() as http,
        http.get(
            f"{server.at.http}/turn",
            params={"userId": me.user_id, "clientId": me.client_id},
            headers={"Authorization": f"Bearer {token}"},
        ) as response,
    ):
        result = (await response.json())["result"]
    assert await relay(port, result["username"], result["credential"])


async def test_a_wrong_secret_is_good_for_nothing(boot: Boot, services: Services) -> None:
    url, port = services("coturn").variables("coturn")["TURN_URL"], services.port("coturn")
    server = await boot(turn={"urls": [url], "secret": "another secret"})
    told = await ask(await server.online_tcp("ann"))
    assert not await relay(port, str(told["username"]), str(told["credential"]))


@contextmanager
def coturn(folder: Path, configuration: str) -> Iterator[int]:
    """Run coturn with a configuration of the page, on this machine's own address; yield its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    own = {"listening-ip": HOST, "relay-ip": HOST, "listening-port": port}
    for key, value in own.items():
        configuration, count = re.subn(rf"^{key}=.*$", f"{key}={value}", configuration, flags=re.MULTILINE)
        assert count == 1, key
    file = folder / "turnserver.conf"
    # What tests need beside it: both ends are on this machine.
    more = (
        f"allow-loopback-peers\nlog-file=stdout\npidfile={folder}/pid\nuserdb={folder}/db\nno-tls\nno-dtls\n"
    )
    file.write_text(configuration + more)
    daemon = CoturnDaemon("coturn", folder, [port])
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(["turnserver", "-c", str(file)], stdout=log, stderr=log) as process,
    ):
        try:
            while not daemon.ready():
                assert process.poll() is None, (folder / "log").read_text()
            yield port
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.parametrize("kind", ["New clients", "Old clients"])
async def test_the_configurations_of_the_page_work(
    boot: Boot, services: Services, tmp_path: Path, kind: str
) -> None:
    services("coturn")  # it is installed then
    blocks = re.findall(r"^```ini\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (configuration,) = (block for block in blocks if kind in block)
    said = dict(re.findall(r"^([a-z-]+)=(.*)$", configuration, re.MULTILINE))
    folder = tmp_path / "coturn"
    folder.mkdir()
    with coturn(folder, configuration) as port:
        turn: dict[str, object] = {"urls": [f"turn:{HOST}:{port}"]}
        if kind == "New clients":
            turn["secret"] = said["static-auth-secret"]
        else:
            turn["user"], turn["password"] = said["user"].split(":")
        told = await ask(await (await boot(turn=turn)).online_web("ann"))
        assert await relay(port, str(told["username"]), str(told["credential"]))
        assert not await relay(port, str(told["username"]), "wrong")
