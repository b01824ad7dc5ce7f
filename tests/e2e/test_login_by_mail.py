"""A person without a mobile number logs in: the code comes by a real mail server."""

import mailbox
import re
from pathlib import Path

import pytest

from fsharechat.client import Client, login, send_code
from tools.testing.devices import FAST
from tools.testing.server import Server, until
from tools.testing.services import Services

pytestmark = pytest.mark.slow

ADDRESS = "ann@example.org"


async def test_a_code_that_came_by_mail_logs_in(tmp_path: Path, services: Services) -> None:
    variables = services("smtp").variables("smtp")
    mails = mailbox.Maildir(variables["SMTP_MAILDIR"])
    settings = {
        name.removeprefix("FSHARECHAT_"): value
        for name, value in variables.items()
        if name.startswith("FSHARECHAT_")
    }
    async with Server(tmp_path / "data", settings) as server:
        await send_code(server.at.http, ADDRESS)
        await until(lambda: len(mails.keys()) == 1, "no mail")
        (mail,) = mails
        assert mail["To"] == ADDRESS
        text = mail.get_payload(decode=True)
        assert isinstance(text, bytes)
        code = re.search(r"\d{6}", text.decode())
        assert code is not None
        credentials = await login(server.at.http, ADDRESS, code[0], "phone")
        async with Client(credentials, tcp=server.at.tcp, options=FAST) as client:
            (found,) = await client.search_users(ADDRESS)
        assert (found.uid, found.email, found.mobile) == (credentials.user_id, ADDRESS, "")
        assert code[0] not in server.errors
