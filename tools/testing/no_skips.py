"""A pytest plugin that fails what would be skipped: where everything is there to run, nothing may be left out.

One reason passes: a shallow clone does not have the version before (tools/testing/previous.py). That is a kind of
checkout, which is as whole as it was asked for, and no service that is missing.
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
