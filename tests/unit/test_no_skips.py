"""Where nothing may be skipped, a test that is fails; but for the one reason that lies in the checkout itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.services.places import ROOT
from tools.testing.previous import SHALLOW


@pytest.mark.parametrize(
    ("reason", "code", "workers"),
    [("no such service", 1, "0"), ("no such service", 1, "1"), (SHALLOW, 0, "0")],
)
def test_a_skipped_test_fails_unless_the_clone_is_shallow(
    tmp_path: Path, reason: str, code: int, workers: str
) -> None:
    test = tmp_path / "test_it.py"
    test.write_text(f"import pytest\n\ndef test_it():\n    pytest.skip({reason!r})\n")
    options = [
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
        "-p",
        "xdist",
        "-p",
        "tools.testing.no_skips",
        "-n",
        workers,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # most of their time is to load plugins
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        assert "skipped, which is a failure here: " in done.stdout
        assert reason in done.stdout
