"""A pytest plugin that fails skipped tests: where everything is available, no test may be left out.

One reason is allowed: a shallow clone does not have the version before (tools/testing/previous.py). There the
checkout is incomplete on purpose, and no service is missing.
"""

from collections.abc import Generator

import pytest

from tools.testing.previous import SHALLOW


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and SHALLOW not in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"skipped, which is a failure here: {report.longrepr}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail(report)
    return report
