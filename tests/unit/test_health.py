"""What the parts of a process say together."""

import asyncio

import aiohttp
import pytest

from fsharechat import __version__
from fsharechat import health as health_module
from fsharechat.health import FINE, Finding, Health
from fsharechat.metrics import Metrics
from fsharechat.settings_schema import MetricsSettings


@pytest.fixture
def health() -> Health:
    return Health()


async def test_a_part_that_does_not_answer_does_not_serve(
    health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "LOOK_SECONDS", 0.05)

    async def silent() -> Finding:
        await asyncio.get_running_loop().create_future()
        return FINE

    async def well() -> Finding:
        return FINE

    health.part("silent", silent)
    health.part("well", well)
    assert await health.look() == {"silent": Finding("no answer within 0.05 s", serves=False), "well": FINE}


async def test_many_who_ask_are_one_question(health: Health, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def look() -> Finding:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return Finding(f"asked {asked}")

    health.part("one", look)
    found = await asyncio.gather(*(health.look() for _ in range(100)))
    assert [str(one["one"]) for one in found] == ["degraded: asked 1"] * 100
    assert (await health.look())["one"] == Finding("asked 1")
    monkeypatch.setattr(health_module, "FRESH_SECONDS", -1.0)
    assert (await health.look())["one"] == Finding("asked 2")


async def test_what_was_found_can_be_forgotten(health: Health) -> None:
    state = "it starts"

    async def look() -> Finding:
        return Finding(state)

    health.part("process", look)
    assert (await health.look())["process"] == Finding("it starts")
    state = ""
    health.forget()
    assert (await health.look())["process"] == FINE


async def test_who_hangs_up_takes_the_answer_from_nobody(health: Health) -> None:
    go_on = asyncio.Event()

    async def look() -> Finding:
        await go_on.wait()
        return FINE

    health.part("one", look)
    first, second = asyncio.create_task(health.look()), asyncio.create_task(health.look())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    go_on.set()
    assert await second == {"one": FINE}


async def test_the_port_of_the_metrics_tells_it_too(health: Health) -> None:
    async def ill() -> Finding:
        return Finding("ill", serves=False)

    health.part("one", ill)
    metrics = Metrics()
    address = (await metrics.serve(MetricsSettings(), 0, health)).removesuffix("/metrics")
    try:
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{address}/monitor/alive") as response:
                assert (response.status, await response.json()) == (
                    200,
                    {"code": 200, "version": __version__},
                )
            async with http.get(f"{address}/monitor/ready") as response:
                assert response.status == 503
                assert await response.json() == {"code": 503, "parts": {"one": "ill"}}
    finally:
        await metrics.close()
