"""The wheel and an empty folder are enough to run a server."""

import asyncio
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.testing.devices import Handset, log_in
from tools.testing.server import BOUND, Server
from tools.testing.web import build_pages

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
_NOT_SENT = shutil.ignore_patterns("__pycache__", "node_modules")
SOURCES = ("fsharechat", "roles", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, without what a checkout has beside them."""
    asyncio.run(build_pages())
    sources = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / name, ignore=_NOT_SENT)
        else:
            shutil.copy(ROOT / name, sources / name)
    return sources


def make_wheel(of: Path, folder: Path) -> Path:
    """Make a wheel with the locked tools, without a network."""
    command = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, *command, "--wheel-dir", str(folder), str(of)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheel(sources, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def command(folder: Path, site: Path, *arguments: str) -> bytes:
    """Run `fsharechat` of the wheel in a folder, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "fsharechat", *arguments],
        cwd=folder,
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        check=False,
        timeout=BOUND,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return done.stdout


def test_it_has_all_that_is_no_code(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    for wanted in (
        "fsharechat/settings.toml",
        "fsharechat/py.typed",
        "fsharechat/protocol/messages.proto",
        "fsharechat/store/migrations/env.py",
        "roles/api/web/dist/index.html",
    ):
        assert wanted in names
    assert any(re.fullmatch(r"roles/api/web/dist/assets/index-.+\.js\.br", name) for name in names)
    assert not [name for name in names if "/web/" in name and "/web/dist/" not in name]
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"fsharechat", "roles"}


def test_the_source_distribution_makes_the_same(wheel: Path, sources: Path, tmp_path: Path) -> None:
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", build, str(tmp_path)],
        cwd=sources,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [sdist] = tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as packed, zipfile.ZipFile(make_wheel(sdist, tmp_path)) as again:
        assert sorted(packed.namelist()) == sorted(again.namelist())


async def test_a_server_runs_from_it_in_an_empty_folder(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    settings = await asyncio.to_thread(command, folder, site, "settings")
    (folder / "settings.toml").write_bytes(settings)
    found = await asyncio.to_thread(command, folder, site, "check", "--settings", "settings.toml")
    assert all(line.startswith(b"ok") for line in found.splitlines())
    async with Server(folder / "data", environment={"PYTHONPATH": str(site)}) as server:
        where = await asyncio.to_thread(Path(f"/proc/{server.pid}/environ").read_bytes)
        assert f"PYTHONPATH={site}".encode() in where.split(b"\0")
        async with Handset(await log_in(server.at, "13800000001", "phone"), server.at, "tcp") as ann:
            await ann.send(ann.user_id, "from the wheel")
