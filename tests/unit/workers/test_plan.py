"""What the main process tells a worker."""

from fsharechat.settings import Settings
from fsharechat.workers import Plan, settings_of_worker


def plan(sections: dict[str, dict[str, object]]) -> tuple[bytes, Settings]:
    made = settings_of_worker(Settings.model_validate(sections), 3, 4000, 4001)
    data = Plan(made, "127.0.0.1:5000").encode()
    read = Plan.decode(data)
    assert read.group == "127.0.0.1:5000"
    return data, read.settings


def test_a_worker_has_its_settings_and_no_secrets_that_it_does_not_need() -> None:
    data, settings = plan(
        {
            "node": {"workers": 4, "id": 9, "cluster_secret": "secret of this start", "drain_seconds": 7},
            "connector": {"max_inflight": 5, "trusted_proxies": ("10.0.0.0/8",)},
            "api": {"key": "the-key-of-the-back-office"},
            "codes": {"super_code": "66666"},
            "limits": {"requests": 11},
            "log": {"level": "debug"},
            "rpc": {"timeout_seconds": 3},
        }
    )
    assert (settings.node.roles, settings.node.id, settings.node.workers) == (("connector",), 3, 0)
    assert (settings.node.cluster_secret, settings.node.drain_seconds) == ("secret of this start", 7)
    assert (settings.connector.tcp_port, settings.connector.ws_port) == (4000, 4001)
    assert (settings.connector.max_inflight, settings.connector.trusted_proxies) == (5, ("10.0.0.0/8",))
    assert (settings.limits.requests, settings.log.level, settings.rpc.timeout_seconds) == (11, "debug", 3)
    assert b"back-office" not in data
    assert b"66666" not in data


def test_each_worker_has_a_port_of_its_own_for_metrics() -> None:
    assert plan({"metrics": {"port": 9100}})[1].metrics.port == 9104
    assert plan({"metrics": {"port": 0}})[1].metrics.port == 0
    assert plan({})[1].metrics.port == "off"
