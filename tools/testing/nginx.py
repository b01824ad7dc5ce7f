"""Debian's nginx with deploy/nginx/fsharechat.conf, changed where a test must."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tools.services.errors import Unavailable
from tools.services.install import Installer, program
from tools.testing.server import ServerAddresses, until

CONF = Path(__file__).resolve().parents[2] / "deploy" / "nginx" / "fsharechat.conf"
NAME = "chat.example.org"


def before(server: ServerAddresses) -> dict[str, str]:
    """Return the changes by which nginx stands before a server."""
    return {
        "127.0.0.1:8081": server.http.removeprefix("http://"),
        "127.0.0.1:9326": server.ws.removeprefix("ws://").strip("/"),
    }


@asynccontextmanager
async def nginx(folder: Path, port: int, changes: Mapping[str, str]) -> AsyncIterator[None]:
    """Run nginx with the file, in which some texts are replaced. Skips where there is no nginx."""
    try:
        await asyncio.to_thread(
            Installer(print).require, ["nginx-light"], lambda: program("nginx") is not None
        )
    except Unavailable as error:
        pytest.skip(str(error))
    _write(folder, changes)
    command = [program("nginx") or "nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
    if os.geteuid() == 0:
        command += ["-g", "user root;"]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await until(lambda: _answers(port) or process.returncode is not None, "nginx did not start")
        assert process.returncode is None, (folder / "error.log").read_text()
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _write(folder: Path, changes: Mapping[str, str]) -> None:
    text = CONF.read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    folder.mkdir()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder / 'pid'};\nerror_log {folder / 'error.log'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n"
    )


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
