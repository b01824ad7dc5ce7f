"""The systemd units of deploy/systemd: they say the same, and systemd finds them right and tight."""

import re
import subprocess
from pathlib import Path

import pytest

from tools.services.install import Installer, program

UNITS = Path(__file__).resolve().parents[2] / "deploy" / "systemd"
PROGRAM = "/opt/fsharechat/.venv/bin/fsharechat"
WHOLE, ROLE = "fsharechat.service", "fsharechat@.service"
VARIABLES_OF_A_ROLE = "EnvironmentFile=-/etc/fsharechat/%i.env"
MOST_EXPOSED = 20
"""In tenths: systemd says 96 of a unit without hardening."""


def lines(name: str) -> list[str]:
    text = (UNITS / name).read_text().replace(" --roles %i", "").replace(", %i", "")
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_the_units_differ_in_their_roles_alone() -> None:
    role = lines(ROLE)
    role.remove(VARIABLES_OF_A_ROLE)
    assert lines(WHOLE) == role
    assert (UNITS / ROLE).read_text().count("--roles %i") == 2


def test_what_they_run_is_ours() -> None:
    runs = re.findall(r"^Exec\w+=(.*)$", (UNITS / WHOLE).read_text(), re.MULTILINE)
    common = "--settings /etc/fsharechat/settings.toml --data /var/lib/fsharechat"
    assert runs == [f"{PROGRAM} check {common}", f"{PROGRAM} {common}", "/bin/kill -HUP $MAINPID"]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["", "connector", "group", "api", "media"])
def test_systemd_finds_nothing_wrong(role: str, tmp_path: Path) -> None:
    Installer(print).require(["systemd"], lambda: program("systemd-analyze") is not None)
    analyze = program("systemd-analyze") or ""
    unit = tmp_path / (f"fsharechat@{role}.service" if role else WHOLE)
    unit.write_text((UNITS / (ROLE if role else WHOLE)).read_text().replace(PROGRAM, "/bin/true"))
    for arguments in (["verify"], ["security", "--offline=true", f"--threshold={MOST_EXPOSED}"]):
        done = subprocess.run([analyze, *arguments, unit], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
