"""The dashboard and the alerts (deploy/) on a real Prometheus, which reads real processes."""

import asyncio
import json
import math
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from fsharechat.client import Client, LoginError, RequestError
from tools.services.certificates import Authority
from tools.services.places import ROOT
from tools.services.prometheus import PASSWORD
from tools.testing.cluster import MakeCluster, new_numbers
from tools.testing.devices import FAST, log_in
from tools.testing.server import BOUND, Server, ServerAddresses
from tools.testing.services import Services

DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "fsharechat.json"
_THRESHOLD = re.compile(r"^(?P<left>.+) [<>] [\d.]+$", re.DOTALL)

pytestmark = pytest.mark.slow


class Alert(NamedTuple):
    name: str
    expression: str
    runbook: str


def alerts() -> list[Alert]:
    """Return the alerts of the file. Its form is fixed, so no reader of YAML is needed."""
    found = re.findall(
        r"- alert: (\w+)\n +expr: >-\n((?: {10}[^\n]+\n)+).*?runbook: (\S+)\n", ALERTS.read_text(), re.DOTALL
    )
    return [Alert(name, " ".join(text.split()), runbook) for name, text, runbook in found]


def panels() -> Iterator[tuple[str, str]]:
    """Yield each query of the dashboard with its place, as Grafana asks it for all processes."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            asked = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "30s")
            assert "$" not in asked
            yield f"{panel['title']} {target['refId']}", asked


async def values(http: aiohttp.ClientSession, url: str, query: str) -> list[float]:
    """Return the values that Prometheus has for a query now, without those that are no numbers."""
    async with http.get(f"{url}/api/v1/query", params={"query": query}) as response:
        answer = await response.json()
    assert answer["status"] == "success", (query, answer)
    found = [float(sample["value"][1]) for sample in answer["data"]["result"]]
    return [value for value in found if not math.isnan(value)]


@asynccontextmanager
async def traffic(at: ServerAddresses, tls: ssl.SSLContext | None = None) -> AsyncIterator[None]:
    """Let two users write to each other, over TCP and WebSocket, until the end. One request is refused each time."""
    first, second = new_numbers(2)
    options = replace(FAST, tls=tls)
    async with AsyncExitStack() as stack:
        anna = await stack.enter_async_context(
            Client(await log_in(at, first, "a"), **at.of("tcp"), options=options)
        )
        ben = await stack.enter_async_context(
            Client(await log_in(at, second, "b"), **at.of("ws"), options=options)
        )

        async def chat() -> None:
            while True:
                await anna.send(ben.user_id, "from TCP")
                await ben.send(anna.user_id, "from WebSocket")
                await anna.user_infos([ben.user_id])
                with suppress(RequestError):
                    await anna.send("nobody", "to nobody")
                await asyncio.sleep(0.05)

        chatting = asyncio.create_task(chat())
        try:
            yield
        finally:
            chatting.cancel()
            with suppress(asyncio.CancelledError):
                await chatting


def targets(services: Services, hosts: list[str]) -> None:
    """Let Prometheus read these processes from now on."""
    file = Path(services.variables("prometheus")["PROMETHEUS_TARGETS"])
    file.write_text(json.dumps([{"targets": hosts}]))


async def test_every_panel_and_every_alert_has_data(
    cluster: MakeCluster, services: Services, tmp_path: Path
) -> None:
    url = services("prometheus").url("prometheus")
    authority = Authority(tmp_path)
    pair = authority.issue("connector")
    settings = {
        "METRICS__PORT": "0",
        "METRICS__PASSWORD": PASSWORD,
        "CONNECTOR__TLS__CERTIFICATE": str(pair.certificate),
        "CONNECTOR__TLS__KEY": str(pair.key),
    }
    tls = ssl.create_default_context(cafile=str(authority.certificate))
    it = cluster(1, 1, 1, 1)
    async with Server(tmp_path / "data", settings) as server, aiohttp.ClientSession() as http:
        addresses = [server.addresses["metrics"]]
        addresses += [one["addresses"]["metrics"] for one in it.info()["members"].values()]
        async with http.get(addresses[0]) as refused:
            assert refused.status == 401
        hosts = [address.removeprefix("http://").removesuffix("/metrics") for address in addresses]
        targets(services, hosts)
        await until_all(http, url, {"targets": f"count(up == 1) == {len(hosts)}"})
        for at, owner in ((server.at, server), (it.at(), it)):
            number = new_numbers(1)[0]
            await owner.code_for(number)
            with pytest.raises(LoginError):
                await log_in(at, number, "a", code="wrong")
        async with traffic(server.at, tls), traffic(it.at()):
            wanted = dict(panels())
            assert len(wanted) > 40
            for alert in alerts():
                match = _THRESHOLD.match(alert.expression)
                assert match is not None, alert
                wanted[alert.name] = match["left"]
            await until_all(http, url, wanted)
            per_process = 'count by (instance) (fsharechat_build_info{instance=~".*"})'
            assert len(await values(http, url, per_process)) == len(hosts)


async def until_all(http: aiohttp.ClientSession, url: str, wanted: dict[str, str]) -> None:
    """Wait until each query has had a value."""
    left = dict(wanted)
    deadline = asyncio.get_running_loop().time() + BOUND
    while left:
        left = {name: query for name, query in left.items() if not await values(http, url, query)}
        assert asyncio.get_running_loop().time() < deadline, f"no data: {left}"
        await asyncio.sleep(0.2)


# Each alert with series that raise it, and series that do not: a value each minute (promtool's form).

P = '{instance="a",job="fsharechat"}'
GROWS, STANDS = "0+60x240", "7x240"


def _buckets(name: str, bound: str, labels: str = 'instance="a"') -> dict[str, str]:
    """Return a histogram all of whose values lie in the bucket of `bound`."""
    bounds = ["0.001", "0.1", "0.5", "1.0", "5.0", "+Inf"]
    return {
        f'fsharechat_{name}_bucket{{{labels},le="{le}"}}': GROWS if float(le) >= float(bound) else "0x240"
        for le in bounds
    }


def _codes(sent: str, failed: str) -> dict[str, str]:
    labels = 'instance="a",way="mail"'
    return {
        f'fsharechat_codes_total{{{labels},outcome="sent"}}': sent,
        f'fsharechat_codes_total{{{labels},outcome="failed"}}': failed,
    }


def _requests(done: str, failed: str) -> dict[str, str]:
    labels = 'instance="a",kind="MS"'
    return {
        f'fsharechat_requests_total{{{labels},code="0"}}': done,
        f'fsharechat_requests_total{{{labels},code="249"}}': failed,
        f'fsharechat_requests_total{{{labels},code="250"}}': GROWS,
    }


def _rpc(refused: str) -> dict[str, str]:
    return {
        f"fsharechat_rpc_refused_total{P}": refused,
        f"fsharechat_rpc_given_up_total{P}": STANDS,
        f"fsharechat_rpc_timed_out_total{P}": STANDS,
    }


def _files(open_now: int) -> dict[str, str]:
    return {f"process_open_fds{P}": f"{open_now}x240", f"process_max_fds{P}": "1000x240"}


def _versions(second: str) -> dict[str, str]:
    return {
        'fsharechat_build_info{instance="a",version="1"}': "1x240",
        f'fsharechat_build_info{{instance="b",version="{second}"}}': "1x240",
    }


def _guessed(per_minute: int) -> dict[str, str]:
    labels = 'instance="a",request="login",result="wrong_code"'
    return {f"fsharechat_logins_total{{{labels}}}": f"0+{per_minute}x240"}


def _one(name: str, bad: str, good: str, labels: str = P) -> tuple[dict[str, str], dict[str, str]]:
    return {f"{name}{labels}": bad}, {f"{name}{labels}": good}


_OF_STORE = '{backend="store",instance="a"}'
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "FsharechatDown": _one("up", "0x240", "1x240"),
    "FsharechatNotReady": _one("fsharechat_ready", "0x240", "1x240"),
    "FsharechatBackendAway": _one("fsharechat_backend_up", "0x240", "1x240", _OF_STORE),
    "FsharechatMessagesNotStored": _one("fsharechat_store_failed_total", GROWS, STANDS),
    "FsharechatRequestsFail": (_requests(GROWS, GROWS), _requests(GROWS, STANDS)),
    "FsharechatWriterBehind": _one("fsharechat_store_queue", "5000x240", "50x240"),
    "FsharechatCommitsSlow": (
        _buckets("store_commit_seconds", "5.0"),
        _buckets("store_commit_seconds", "0.1"),
    ),
    "FsharechatAcknowledgementsSlow": (_buckets("ack_seconds", "5.0"), _buckets("ack_seconds", "0.1")),
    "FsharechatDeliveriesSlow": (_buckets("delivery_seconds", "5.0"), _buckets("delivery_seconds", "0.1")),
    "FsharechatLoopLags": (_buckets("loop_lag_seconds", "0.5"), _buckets("loop_lag_seconds", "0.001")),
    "FsharechatBusLags": (_buckets("bus_lag_seconds", "5.0"), _buckets("bus_lag_seconds", "0.1")),
    "FsharechatBusLoses": _one("fsharechat_bus_lost_total", GROWS, STANDS),
    "FsharechatCallsFail": (_rpc(GROWS), _rpc(STANDS)),
    "FsharechatCodesFail": (_codes(GROWS, GROWS), _codes(GROWS, STANDS)),
    "FsharechatLoginsGuessed": (_guessed(60), _guessed(6)),
    "FsharechatCertificateExpires": _one(
        "fsharechat_certificate_expires_seconds", "864000x240", "8640000x240"
    ),
    "FsharechatFilesRunOut": (_files(950), _files(500)),
    "FsharechatMediaDropped": _one("fsharechat_media_packets_dropped_total", "0+600x240", STANDS),
    "FsharechatVersionsDiffer": (_versions("2"), _versions("1")),
}


def test_each_alert_fires_and_does_not_fire(services: Services, tmp_path: Path) -> None:
    promtool = services("prometheus").variables("prometheus")["PROMTOOL"]
    names = [alert.name for alert in alerts()]
    assert sorted(CASES) == sorted(names)
    tests = [
        _rule_test(name, series, fires=fires)
        for name, (bad, good) in CASES.items()
        for series, fires in ((bad, True), (good, False))
    ]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}))
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(file)]):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "password.txt").write_text(PASSWORD)
    for name in ("alerts.yml", "prometheus.yml"):
        (tmp_path / name).write_text((DEPLOY / "prometheus" / name).read_text())
    done = subprocess.run(
        [promtool, "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _rule_test(name: str, series: dict[str, str], *, fires: bool) -> dict[str, Any]:
    """Return a test for promtool: after four hours of these series the alert fires, or does not."""
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1}] if fires else []
    asked = f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing"}})'
    return {
        "name": f"{name} {'fires' if fires else 'is quiet'}",
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": "4h", "exp_samples": expected}],
    }
