"""A commit is held to what scripts/test holds the whole to."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_hook_is_the_lint_step_of_the_tests_and_downloads_nothing() -> None:
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (\S+)", config) == ["local"]
    assert re.findall(r"language: (\S+)", config) == ["system"]
    assert re.findall(r"entry: (.+)", config) == ["scripts/test --lint"]


def test_the_lint_step_is_all_of_the_test_script_but_the_tests(tmp_path: Path) -> None:
    script = (ROOT / "scripts" / "test").read_text()
    called = tmp_path / "called"
    stages = tmp_path / "stages"
    # The script with its own stages, which say what they are in place of doing it.
    body = script.partition("selected=$#")[2]
    stages.write_text(
        f'stage() {{ echo "$1" >> "{called}"; }}\nbeside() {{ echo "beside: $*" >> "{called}"; }}\n'
        f"failed=0 summary= fast=$FAST lint=$LINT selected=$SELECTED\n{body}"
    )
    programs = "beside: scripts/services install"
    for fast, lint, selected, first, wanted in (
        ("", "1", "0", [], []),
        ("1", "", "0", [], ["web pages", "fast tests"]),
        ("", "", "0", [programs], ["web pages", "fast tests", "slow tests"]),
        ("", "", "1", [], ["web pages", "fast tests", "slow tests"]),
    ):
        called.unlink(missing_ok=True)
        given = {"FAST": fast, "LINT": lint, "SELECTED": selected}
        subprocess.run(["sh", stages], env=given, check=True, capture_output=True)
        others = [] if fast else ["mypy for win32", "mypy for darwin"]
        always = ["ruff format", "ruff check", "mypy", *others, "web client"]
        assert called.read_text().splitlines() == [*first, *always, *wanted]
