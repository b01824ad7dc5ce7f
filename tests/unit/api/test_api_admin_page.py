"""The page at /admin does what `fsharechat admin` does: each command has its request there, or a reason here."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsharechat.admin import command_line
from roles.api.back_office import ENDPOINTS
from roles.api.endpoints import Endpoint

PAGE = Path(__file__).resolve().parents[3] / "roles/api/web/src/admin"

REQUESTS = {
    "users create": "POST /admin/users",
    "users get": "GET /admin/users/*",
    "users list": "GET /admin/users",
    "users mute": "PUT /admin/users/*/status",
    "users block": "PUT /admin/users/*/status",
    "users unblock": "PUT /admin/users/*/status",
    "users robot": "PUT /admin/users/*/robot",
    "users person": "PUT /admin/users/*/robot",
    "users number": "PUT /admin/users/*/number",
    "users code": "POST /admin/users/*/code",
    "users accounts": "GET /admin/users/*/accounts",
    "users unbind": "DELETE /admin/users/*/accounts/*",
    "users export": "GET /admin/users/*/export",
    "users delete": "DELETE /admin/users/*",
    "groups list": "GET /admin/groups",
    "groups get": "GET /admin/groups/*",
    "groups silence": "PUT /admin/groups/*/members/*",
    "groups unsilence": "PUT /admin/groups/*/members/*",
    "groups owner": "PUT /admin/groups/*/owner",
    "groups dismiss": "DELETE /admin/groups/*",
    "words list": "GET /admin/words",
    "words add": "POST /admin/words",
    "words remove": "POST /admin/words/remove",
    "accounts list": "GET /admin/accounts",
    "accounts add": "POST /admin/accounts",
    "accounts role": "PUT /admin/accounts/*/role",
    "accounts password": "PUT /admin/accounts/*/password",
    "accounts remove": "DELETE /admin/accounts/*",
    "audit": "GET /admin/audit",
    "processes": "GET /admin/processes",
    "settings": "GET /admin/settings",
    "robots list": "GET /admin/robots",
    "robots get": "GET /admin/robots/*",
    "robots create": "POST /admin/robots",
    "robots change": "PUT /admin/robots/*",
    "robots remove": "DELETE /admin/robots/*",
    "reports list": "GET /admin/reports",
    "reports close": "DELETE /admin/reports/*",
    "bots list": "GET /admin/bots",
    "bots create": "POST /admin/bots",
    "bots revoke": "DELETE /admin/bots/*",
    "invitations list": "GET /admin/invitations",
    "invitations create": "POST /admin/invitations",
    "invitations revoke": "DELETE /admin/invitations/*",
    "sessions": "GET /admin/users/*/sessions",
    "kick": "DELETE /admin/users/*/sessions/*",
    "push": "POST /imopenapi/pushNotificationByMobile",
}
"""What each command asks. A star stands for a name or an id."""

ELSEWHERE = {
    "POST /imopenapi/pushNotificationByGroup": "for other systems: people write to a group as its members",
    "GET /admin/sessions": "the overview has the devices online of each process from GET /admin/processes",
    "GET /admin/robots/*": "the list of robots has all about each",
}
"""Requests that the page does not need, and what does their work there."""


def _commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[str]:
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not parts:
        yield before.strip()
    for part in parts:
        for name, inner in part.choices.items():
            yield from _commands(inner, f"{before} {name}")


def _asked_by_the_page() -> set[str]:
    found = set()
    for file in PAGE.iterdir():
        if file.suffix not in (".ts", ".vue"):
            continue
        source = file.read_text()
        asked = re.findall(r'(?:ask|send)(?:<[^(]*?>)?\(\s*"([A-Z]+)",\s*\[([^\]]*)\]', source)
        asked += [("GET", path) for path in re.findall(r"\blist<[^(]*?>\(\s*\[([^\]]*)\]", source)]
        for method, path in asked:
            parts = [part.strip() for part in path.split(",") if part.strip()]
            plain = [part[1:-1] if part[0] in "'\"" else "*" for part in parts]
            root = "" if plain[0] == "imopenapi" else "/admin"
            found.add(f"{method} {root}/{'/'.join(plain)}")
    return found


def test_each_command_has_its_request() -> None:
    assert sorted(_commands(command_line._parser())) == sorted(REQUESTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_the_page_asks_for_each_operation(endpoint: Endpoint) -> None:
    asked = _asked_by_the_page()
    request = re.sub(r"\{\w+\}", "*", f"{endpoint.method} {endpoint.path}")
    assert (request in asked) != (request in ELSEWHERE)


def test_each_command_has_its_place_on_the_page() -> None:
    operations = {re.sub(r"\{\w+\}", "*", f"{one.method} {one.path}") for one in ENDPOINTS}
    assert set(REQUESTS.values()) <= operations
    assert set(REQUESTS.values()) <= _asked_by_the_page() | ELSEWHERE.keys()
