"""The lock of a file: nobody else has it, and everybody may read the file."""

import subprocess
import sys
from pathlib import Path

import pytest

import tools.testing.without_unix
from fsharechat import file_lock

TRY = """
import sys
from fsharechat import file_lock
with open(sys.argv[1], "a+", encoding="ascii") as file:
    file.seek(0)
    print(file_lock.take(file, shared=bool(sys.argv[2:])), file.read())
"""


def run(code: str, *arguments: str, without_unix: bool = False) -> str:
    environment = {"PYTHONPATH": tools.testing.without_unix.__path__[0]} if without_unix else {}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_one_has_it_until_the_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("a+") as first, path.open("a+") as second:
        assert file_lock.take(first)
        assert not file_lock.take(second)
        assert not file_lock.take(second, shared=True)
        first.close()
        assert file_lock.take(second)


def test_several_share_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as first, path.open() as second, path.open("a") as third:
        assert file_lock.take(first, shared=True)
        assert file_lock.take(second, shared=True)
        assert not file_lock.take(third)


@pytest.mark.parametrize("without_unix", [False, True])
def test_another_process_does_not_get_it_and_reads_the_file(tmp_path: Path, without_unix: bool) -> None:
    holds = f"""
import subprocess, sys
from fsharechat import file_lock
with open(sys.argv[1], "a+", encoding="ascii") as file:
    assert file_lock.take(file)
    file.write("4711")
    file.flush()
    for shared in ([], ["shared"]):
        print(subprocess.run([sys.executable, "-P", "-c", {TRY!r}, sys.argv[1], *shared],
            capture_output=True, text=True, encoding="ascii", check=True).stdout.strip())
print(subprocess.run([sys.executable, "-P", "-c", {TRY!r}, sys.argv[1]],
    capture_output=True, text=True, encoding="ascii", check=True).stdout.strip())
"""
    said = run(holds, str(tmp_path / "lock"), without_unix=without_unix)
    assert said.splitlines() == ["False 4711", "False 4711", "True 4711"]
