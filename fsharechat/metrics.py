"""The metrics of a process, served for Prometheus on `[metrics] port`, beside its health.

Roles count in plain integers, which costs the hot path nothing. Here they register how to read them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fsharechat.health import Health
from fsharechat.http import make_runner, refuse_encoded

_PREFIX = "fsharechat_"
_OF_PROCESS = ("process_resident_memory_bytes", "process_cpu_seconds")


class _Reading(NamedTuple):
    family: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    help: str
    read: Callable[[], float]


class Metrics(Collector):
    def __init__(self) -> None:
        self._readings: list[_Reading] = []
        self._infos: list[InfoMetricFamily] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._process = ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._runner: web.AppRunner | None = None

    def counter(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Publish the value of `read`, which only grows, as fsharechat_`name`_total."""
        self._readings.append(_Reading(CounterMetricFamily, f"{_PREFIX}{name}", help, read))

    def gauge(self, name: str, help: str, read: Callable[[], float]) -> None:
        """Publish the value of `read` as fsharechat_`name`."""
        self._readings.append(_Reading(GaugeMetricFamily, f"{_PREFIX}{name}", help, read))

    def info(self, name: str, help: str, value: dict[str, str]) -> None:
        """Publish texts, as labels of fsharechat_`name`_info, which is 1."""
        self._infos.append(InfoMetricFamily(f"{_PREFIX}{name}", help, value))

    def collect(self) -> Iterator[Metric]:
        for family, name, help, read in self._readings:
            yield family(name, help, value=read())
        yield from self._infos

    def values(self) -> dict[str, float]:
        """Return the present value of each counter and gauge, by its name without the prefix, and memory and CPU."""
        found = {reading.name.removeprefix(_PREFIX): float(reading.read()) for reading in self._readings}
        for family in self._process.collect():
            if family.name in _OF_PROCESS:
                found[family.name] = family.samples[0].value
        return found

    async def serve(self, host: str, port: int, health: Health) -> str:
        """Serve GET /metrics and the requests of `health`. Return the address. Raises OSError."""
        app = web.Application(middlewares=[refuse_encoded])
        app.router.add_get("/metrics", self._page)
        health.add_routes(app)
        self._runner = make_runner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        name, taken = self._runner.addresses[0][:2]
        shown = f"[{name}]" if ":" in name else name
        return f"http://{shown}:{taken}/metrics"

    async def close(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
