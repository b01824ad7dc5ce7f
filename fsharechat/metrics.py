"""The metrics of a process, served for Prometheus on `[metrics] port`, beside its health.

Roles count in plain integers and lists of them, on the loop's thread alone: that needs no lock, and costs the hot
path little. Here they register how to read them.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import platform
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from fsharechat import __version__
from fsharechat.health import Health
from fsharechat.http import make_runner, refuse_encoded
from fsharechat.settings_schema import MetricsSettings
from fsharechat.tasks import repeat, spawn
from fsharechat.urls import joined

_PREFIX = "fsharechat_"
_OF_PROCESS = ("process_resident_memory_bytes", "process_cpu_seconds")

SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""The upper bounds of the buckets of times, s."""
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""The upper bounds of the buckets of numbers of things."""

LAG_SECONDS = 0.25
"""How often the lag of the event loop is measured, s."""
SAMPLE_SECONDS = 5.0
RECENT_SECONDS = 60.0
"""How often values are kept for rates and percentiles of the last time, s, and for how long."""

Labelled = Iterable[tuple[tuple[str, ...], float]]
"""The values of a metric with labels: those of the labels, and its value."""
Read = Callable[[], float] | Callable[[], Labelled]
"""Returns the value of a metric, or its values if it has labels."""


class Histogram:
    """Counts measured values by buckets. Only one thread, the loop's, may measure.

    A value counts in the first bucket whose bound is not below it; the last bucket has no bound.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Count a value, or several that are counted by one of them."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    def buckets(self) -> list[tuple[str, float]]:
        """Return the buckets as Prometheus has them: each bound, and how many values are not above it."""
        names = [*map(floatToGoString, self.bounds), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


def quantile(bounds: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Return a bound that this share of the counted values do not exceed; 0 if there are none.

    Values above the last bound count as that bound.
    """
    wanted = share * sum(counts)
    if not wanted:
        return 0.0
    for bound, count in zip(bounds, accumulate(counts), strict=False):
        if count >= wanted:
            return bound
    return bounds[-1]


class _Reading(NamedTuple):
    family: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    help: str
    read: Read
    labels: Sequence[str]

    def values(self) -> Labelled:
        value = self.read()
        return [((), value)] if isinstance(value, (int, float)) else value


class _Measured(NamedTuple):
    name: str
    help: str
    histogram: Histogram


class _Sample(NamedTuple):
    """What was counted up to a moment: by name the counters, and the buckets of the histograms."""

    at: float
    counters: dict[str, float]
    buckets: dict[str, list[int]]


class Metrics(Collector):
    def __init__(self) -> None:
        self._readings: list[_Reading] = []
        self._measured: list[_Measured] = []
        self._infos: list[InfoMetricFamily] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._process = ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._runner: web.AppRunner | None = None
        self._samples: deque[_Sample] = deque(maxlen=int(RECENT_SECONDS / SAMPLE_SECONDS) + 1)
        self._lag = Histogram()
        self._tasks: list[asyncio.Task[None]] = []

    def counter(self, name: str, help: str, read: Read, labels: Sequence[str] = ()) -> None:
        """Publish the value of `read`, which only grows, as fsharechat_`name`_total.

        With `labels`, `read` returns a value for each combination of their values. These must be few and known.
        """
        self._readings.append(_Reading(CounterMetricFamily, f"{_PREFIX}{name}", help, read, labels))

    def gauge(self, name: str, help: str, read: Read, labels: Sequence[str] = ()) -> None:
        """Publish the value of `read` as fsharechat_`name`; `labels` are as for a counter."""
        self._readings.append(_Reading(GaugeMetricFamily, f"{_PREFIX}{name}", help, read, labels))

    def histogram(self, name: str, help: str, histogram: Histogram) -> None:
        """Publish what `histogram` counts as fsharechat_`name`_bucket, _count and _sum."""
        self._measured.append(_Measured(f"{_PREFIX}{name}", help, histogram))

    def info(self, name: str, help: str, value: dict[str, str]) -> None:
        """Publish texts, as labels of fsharechat_`name`_info, which is 1."""
        self._infos.append(InfoMetricFamily(f"{_PREFIX}{name}", help, value))

    def of_process(self, roles: Iterable[str]) -> None:
        """Publish what every process has: what runs, and the lag of its event loop."""
        about = {"version": __version__, "python": platform.python_version(), "roles": ",".join(roles)}
        self.info("build", "The version that runs, and its roles.", about)
        self.histogram("loop_lag_seconds", "How late the event loop comes to what is due.", self._lag)

    def collect(self) -> Iterator[Metric]:
        for reading in self._readings:
            family = reading.family(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.values():
                family.add_metric(labels, value)
            yield family
        for name, help, histogram in self._measured:
            yield HistogramMetricFamily(name, help, buckets=histogram.buckets(), sum_value=histogram.sum)
        yield from self._infos

    def values(self) -> dict[str, float]:
        """Return the present value of each counter and gauge, by its name without the prefix, and memory and CPU.

        Values with labels are added up. Of each counter there is also `…_per_second`, and of each histogram
        `…_p50` and `…_p99` if it has values, of the last minute.
        """
        found = dict(self._totals())
        for family in self._process.collect():
            if family.name in _OF_PROCESS:
                found[family.name] = family.samples[0].value
        if self._samples:
            found |= self._recent(self._samples[0], self._sample())
        return found

    def _totals(self) -> Iterator[tuple[str, float]]:
        for reading in self._readings:
            yield reading.name.removeprefix(_PREFIX), float(sum(value for _, value in reading.values()))

    def _sample(self) -> _Sample:
        counters = {
            one.name.removeprefix(_PREFIX) for one in self._readings if one.family is CounterMetricFamily
        }
        return _Sample(
            time.monotonic(),
            {name: value for name, value in self._totals() if name in counters},
            {one.name.removeprefix(_PREFIX): one.histogram.counts[:] for one in self._measured},
        )

    def _recent(self, old: _Sample, new: _Sample) -> Mapping[str, float]:
        seconds = max(new.at - old.at, 0.001)
        found = {
            f"{name}_per_second": (value - old.counters.get(name, 0.0)) / seconds
            for name, value in new.counters.items()
        }
        bounds = {one.name.removeprefix(_PREFIX): one.histogram.bounds for one in self._measured}
        for name, counts in new.buckets.items():
            before = old.buckets.get(name) or [0] * len(counts)
            recent = [after - then for after, then in zip(counts, before, strict=True)]
            for share in (0.5, 0.99) if any(recent) else ():
                found[f"{name}_p{share * 100:.0f}"] = quantile(bounds[name], recent, share)
        return found

    def start(self) -> None:
        """Measure the lag of the loop, and keep values for those of the last minute, until `close`."""
        self._tasks = [
            spawn("lag of the loop", self._measure_lag()),
            spawn("samples of the metrics", repeat(SAMPLE_SECONDS, self._keep_sample)),
        ]
        self._samples.append(self._sample())

    async def _keep_sample(self) -> None:
        self._samples.append(self._sample())

    async def _measure_lag(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(LAG_SECONDS)
            self._lag.observe(max(0.0, time.monotonic() - begun - LAG_SECONDS))

    async def serve(self, settings: MetricsSettings, port: int, health: Health) -> str:
        """Serve GET /metrics, with a password if one is set, and the requests of `health`. Return the address.

        Raises OSError.
        """
        app = web.Application(middlewares=[refuse_encoded])
        page = self._page if not settings.password else _with_password(settings, self._page)
        app.router.add_get("/metrics", page)
        health.add_routes(app)
        self._runner = make_runner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, settings.host, port).start()
        name, taken = self._runner.addresses[0][:2]
        return f"http://{joined(name, taken)}/metrics"

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._runner:
            await self._runner.cleanup()

    async def _page(self, _: web.Request) -> web.StreamResponse:
        return web.Response(
            body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


def _with_password(settings: MetricsSettings, page: Handler) -> Handler:
    """Return `page` for those who show the user and the password (RFC 7617). Both are compared in constant time."""
    wanted = (_digest(settings.user), settings.password_digest())

    async def guarded(request: web.Request) -> web.StreamResponse:
        shown = _shown(request.headers.get("Authorization", ""))
        right = [hmac.compare_digest(_digest(a), b) for a, b in zip(shown, wanted, strict=True)]
        if all(right):
            return await page(request)
        return web.Response(
            status=401, text="a user and a password are needed\n", headers={"WWW-Authenticate": _CHALLENGE}
        )

    return guarded


_CHALLENGE = 'Basic realm="fsharechat", charset="UTF-8"'


def _shown(header: str) -> tuple[str, str]:
    """Return the user and the password of a request; empty ones if it shows none."""
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    return user, password


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
