"""The official Java clients of Kurento take the tests' Kurento for a real one, so it is what it stands for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tools.services.errors import Unavailable
from tools.services.install import Installer, program
from tools.testing.fake_kurento import FakeKurento

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
OFFERS = HERE / "offers"
SOURCE = HERE / "official" / "CallByKurento.java"
BOUND = 120.0
METHODS = {"ping", "create", "subscribe", "invoke", "release", "connect", "closeSession"}


@pytest.fixture
async def fake() -> AsyncIterator[FakeKurento]:
    async with FakeKurento() as running:
        yield running


def jars_of(version: str) -> Path:
    """Return the folder with the jars of a client. Without Java, or a way to get it, the test is skipped."""
    installer = Installer(print)
    try:
        installer.jdk()
        return installer.jars(f"kurento-client-{version}", [f"org.kurento:kurento-client:{version}"])
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("version", ["6.18.0", "7.3.0"])
async def test_an_official_client_holds_a_call(fake: FakeKurento, version: str) -> None:
    jars = await asyncio.to_thread(jars_of, version)
    client = await asyncio.create_subprocess_exec(
        *(program("java") or "java", "-Xmx128m", "-cp", f"{jars}/*", str(SOURCE), fake.url),
        *(str(OFFERS / f"chromium-{way}.sdp") for way in ("sends", "receives")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    assert client.stdin is not None
    assert client.stderr is not None
    log = asyncio.ensure_future(client.stderr.read())
    said: list[str] = []
    try:
        async with asyncio.timeout(BOUND):
            while line := (await client.stdout.readline()).decode().strip():
                said.append(line)
                if line == "cut me":
                    ids = [frame["id"] for frame in fake.frames]
                    await fake.cut()
                elif line == "end me":
                    assert fake.objects == {}
                    first, *more = fake.sessions
                    await fake.stop()
                    await fake.start()
                else:
                    continue
                client.stdin.write(b"go on\n")
            await client.wait()
    finally:
        if client.returncode is None:
            client.kill()
    assert said == [
        *("answer a=recvonly", "candidate candidate:1", "answer a=sendonly", "candidate candidate:1"),
        *("error 40208", "cut me", "reconnected same"),
        *("answer a=sendonly", "candidate candidate:1", "end me"),
        *("reconnected another", "answer a=recvonly", "done"),
    ], (await log).decode()
    later = [frame["id"] for frame in fake.frames[len(ids) :]]
    assert min(later) > max(ids), "ids grow over connections"
    assert {frame["method"] for frame in fake.frames} == METHODS
    assert fake.objects == {}
    connects = [frame for frame in fake.frames if frame["method"] == "connect"]
    # The older one resumes only a session that began with `connect`, which its first one did not.
    resumed = [None, *more, None] if version == "6.18.0" else [first, first, None]
    assert [frame.get("params", {}).get("sessionId") for frame in connects] == resumed
    typed = {"__module__": "kurento", "__type__": "IceCandidate"}
    assert fake.candidates == [one | typed for one in fake.candidates]
    assert len(fake.candidates) == 1
