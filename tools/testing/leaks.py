"""A pytest plugin that looks after each test for what the test never closed: `-p tools.testing.leaks`.

Without it the garbage collector finds such sockets, streams and loops later, and another test is blamed. The
conftest of all tests leaves what was imported out of the search, so that one takes only milliseconds.
"""

import gc
import sys
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    yield
    # These hold the test's objects until the next one begins: its fixtures, and tracebacks in its log records.
    if isinstance(item, pytest.Function):
        item.funcargs.clear()
    logging = item.config.pluginmanager.get_plugin("logging-plugin")
    if logging is not None:
        logging.caplog_handler.reset()
        logging.report_handler.reset()
    found = _found()
    if found:
        pytest.fail("never closed:\n" + "\n".join(found), pytrace=False)


def _found() -> list[str]:
    """Collect garbage. Return what it had to say when it went."""
    found: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda fault: found.append(f"{fault.object!r}: {fault.exc_value!r}")
    try:
        gc.collect()
    finally:
        sys.unraisablehook = before
    return found
