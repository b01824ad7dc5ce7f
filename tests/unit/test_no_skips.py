"""Where nothing may be skipped, a test that is fails; but for the one reason that lies in the checkout itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.services.places import ROOT
from tools.testing.previous import SHALLOW


@pytest.mark.parametrize(("reason", "code"), [("no such service", 1), (SHALLOW, 0)])
def test_a_skipped_test_fails_unless_the_clone_is_shallow(tmp_path: Path, reason: str, code: int) -> None:
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
        "tools.testing.no_skips",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(test)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
