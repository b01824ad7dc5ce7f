"""`fsharechat check` on services that speak TLS: what is wrong is said in words."""

import asyncio
from pathlib import Path

import pytest

from tools.services.certificates import Authority
from tools.testing.server import run_command
from tools.testing.services import Services

pytestmark = pytest.mark.slow


async def checked(folder: Path, what: str, **variables: str) -> str:
    """Return the line about one service, with these settings."""
    _, output, errors = await asyncio.to_thread(run_command, folder / "data", "check", settings=variables)
    assert "Traceback" not in output + errors, errors
    assert "fsharechat:fsharechat" not in output + errors
    return next(line for line in output.splitlines() if f" {what}: " in line)


async def test_the_database(services: Services, tmp_path: Path) -> None:
    url = services("mariadb").url("mariadb")
    ca = str(Path(services.process("mariadb")["log"]).parent / "tls" / "ca.pem")
    stranger = str(Authority(tmp_path).certificate)

    assert (await checked(tmp_path, "store", STORE__URL=url, STORE__TLS__CA=ca)).startswith("ok")
    wrong = await checked(tmp_path, "store", STORE__URL=url, STORE__TLS__CA=stranger)
    assert wrong.startswith("FAIL")
    assert wrong.endswith("its certificate is not signed by our ca ([store.tls])")
    system = await checked(tmp_path, "store", STORE__URL=url, STORE__TLS__CA="system")
    assert system.endswith("its certificate is not signed by our ca ([store.tls])")

    elsewhere = url.replace("127.0.0.1", "localhost")
    host = await checked(tmp_path, "store", STORE__URL=elsewhere, STORE__TLS__CA=ca)
    assert "certificate is not valid for 'localhost'" in host
    lax = {"STORE__TLS__CA": ca, "STORE__TLS__VERIFY_HOST": "false"}
    assert (await checked(tmp_path, "store", STORE__URL=elsewhere, **lax)).startswith("ok")

    password = url.replace(":fsharechat@", ":another@")
    assert "Access denied" in await checked(tmp_path, "store", STORE__URL=password, STORE__TLS__CA=ca)


async def test_the_bus(services: Services, tmp_path: Path) -> None:
    process = services("kafka").process("kafka")
    port = process["ports"]["clients with TLS and a login"]
    ca = str(Path(process["log"]).parent / "tls" / "ca.pem")
    cluster = {"REGISTRY__URL": "zookeeper://127.0.0.1:1", "NODE__CLUSTER_SECRET": "c" * 16}
    url = f"kafka://fsharechat:fsharechat@127.0.0.1:{port}"

    fine = await checked(tmp_path, "bus", BUS__URL=url, BUS__TLS__CA=ca, **cluster)
    assert fine.startswith("ok")
    assert "fsharechat@" not in fine
    stranger = str(Authority(tmp_path).certificate)
    wrong = await checked(tmp_path, "bus", BUS__URL=url, BUS__TLS__CA=stranger, **cluster)
    assert wrong.startswith("FAIL")
    assert wrong.endswith("its certificate is not signed by our ca ([bus.tls])")
    password = url.replace(":fsharechat@", ":another@")
    wrong = await checked(tmp_path, "bus", BUS__URL=password, BUS__TLS__CA=ca, **cluster)
    assert "it does not take the user 'fsharechat' with this password" in wrong
    assert "another" not in wrong
