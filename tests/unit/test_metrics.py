"""What a process measures, and the port of the metrics."""

import asyncio
import base64
import hashlib
import platform

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fsharechat import __version__, metrics
from fsharechat.health import Health
from fsharechat.metrics import SECONDS, Histogram, Metrics, quantile
from fsharechat.settings_schema import MetricsSettings
from tools.testing.server import until

PASSWORD = "a password for tests"


async def test_it_decompresses_nothing() -> None:
    metrics = Metrics()
    address = await metrics.serve(MetricsSettings(), 0, Health())
    async with aiohttp.ClientSession() as http:
        async with http.get(address) as response:
            assert response.status == 200
        headers = {"Content-Encoding": "gzip"}
        async with http.get(address, data=b"no stream of any kind", headers=headers) as response:
            assert response.status == 415
    await metrics.close()


@pytest.mark.parametrize("given", [PASSWORD, "sha256:" + hashlib.sha256(PASSWORD.encode()).hexdigest()])
async def test_only_who_shows_the_password_reads_the_metrics(given: str) -> None:
    metrics = Metrics()
    address = await metrics.serve(MetricsSettings(user="prometheus", password=given), 0, Health())
    wrong = [
        {},
        {"Authorization": "Bearer " + PASSWORD},
        {"Authorization": "Basic"},
        {"Authorization": "Basic \xff!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()},
        {"Authorization": "Basic " + base64.b64encode(f"somebody:{PASSWORD}".encode()).decode()},
        {"Authorization": "Basic " + base64.b64encode(f"prometheus:{given}x".encode()).decode()},
    ]
    try:
        async with aiohttp.ClientSession() as http:
            for headers in wrong:
                async with http.get(address, headers=headers) as response:
                    assert (response.status, response.headers["WWW-Authenticate"][:5]) == (401, "Basic"), (
                        headers
                    )
            right = base64.b64encode(f"prometheus:{PASSWORD}".encode()).decode()
            async with http.get(address, headers={"Authorization": f"Basic {right}"}) as response:
                assert response.status == 200
            async with http.get(address.replace("/metrics", "/monitor/alive")) as response:
                assert response.status == 200
    finally:
        await metrics.close()


async def test_prometheus_reads_what_is_published() -> None:
    metrics = Metrics()
    times = Histogram((0.1, 1.0))
    metrics.counter("asked", "How many.", lambda: [(("MS", "0"), 3), (("MS", "4"), 1)], ("kind", "code"))
    metrics.gauge("queue", "How long.", lambda: 7)
    metrics.histogram("wait_seconds", "How long.", times)
    metrics.of_process(["connector", "api"])
    for value in (0.1, 0.5, 2.0):
        times.observe(value)
    address = await metrics.serve(MetricsSettings(), 0, Health())
    async with aiohttp.ClientSession() as http, http.get(address) as response:
        text = await response.text()
    await metrics.close()
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert (found["fsharechat_asked_total", "0", "MS"], found["fsharechat_asked_total", "4", "MS"]) == (3, 1)
    assert found["fsharechat_queue",] == 7
    assert [found["fsharechat_wait_seconds_bucket", bound] for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert found["fsharechat_wait_seconds_count",] == 3
    assert found["fsharechat_wait_seconds_sum",] == pytest.approx(2.6)
    assert found["fsharechat_build_info", platform.python_version(), "connector,api", __version__] == 1


@given(st.lists(st.floats(min_value=0, max_value=20)), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_percentile_is_the_next_bound_of_a_bucket(values: list[float], share: float) -> None:
    histogram = Histogram()
    histogram.observe_all(values)
    found = quantile(histogram.bounds, histogram.counts, share)
    below = sum(value <= found for value in values)
    if not values:
        assert found == 0
    elif found < SECONDS[-1]:
        assert below >= share * len(values) > sum(value <= _before(found) for value in values)
    else:
        assert share * len(values) > sum(value <= _before(found) for value in values)


def _before(bound: float) -> float:
    place = SECONDS.index(bound)
    return SECONDS[place - 1] if place else -1.0


async def test_rates_and_percentiles_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "LAG_SECONDS", 0.001)
    it = Metrics()
    it.of_process(["api"])
    count = 5
    times = Histogram()
    times.observe(9.0)
    it.counter("asked", "How many.", lambda: count)
    it.histogram("wait_seconds", "How long.", times)
    it.start()
    count = 105
    times.observe_all([0.001] * 98 + [0.04, 0.04])
    await asyncio.sleep(0)
    values = it.values()
    assert values["asked_per_second"] > 0
    assert (values["wait_seconds_p50"], values["wait_seconds_p99"]) == (0.001, 0.05)
    await until(lambda: it.values()["loop_lag_seconds_p99"] > 0, "the lag of the loop is measured")
    await it.close()
