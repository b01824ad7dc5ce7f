"""The alerts and the dashboard name metrics that there are, and each alert has its paragraph."""

import json
import re

from tools.reference import DOCS, ROOT, find_metrics

ALERTS = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
DASHBOARD = (ROOT / "deploy" / "grafana" / "fsharechat.json").read_text()
_OF_A_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")


def test_each_alert_has_its_paragraph() -> None:
    names = re.findall(r"- alert: (\w+)", ALERTS)
    runbooks = re.findall(r"runbook: docs/operations\.md#(\w+)", ALERTS)
    assert runbooks == [name.lower() for name in names]
    assert len(names) > 15
    for folder in (DOCS, DOCS / "zh"):
        headings = re.findall(r"^### (Fsharechat\w+)$", (folder / "operations.md").read_text(), re.MULTILINE)
        assert headings == names


def test_each_metric_that_is_asked_for_is_published() -> None:
    queries = [
        target["expr"] for panel in json.loads(DASHBOARD)["panels"] for target in panel.get("targets", ())
    ]
    asked = set(re.findall(r"\bfsharechat_\w+", "\n".join((ALERTS, *queries))))
    published = {metric.name for metric in find_metrics()}
    assert {name for name in asked if _OF_A_HISTOGRAM.sub("", name) not in published} == set()
    assert len(asked) > 40
