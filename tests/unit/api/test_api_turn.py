"""GET /turn: for who shows the token of a login."""

import pytest

from fsharechat.protocol import crypto
from tests.unit.api.api_kit import ApiAnswer, Site


async def ask(site: Site, token: str, **query: str) -> ApiAnswer:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with site.http.get("/turn", params=query, headers=headers) as response:
        return ApiAnswer(response.status, response.headers, await response.json())


async def logged_in(site: Site) -> tuple[str, str]:
    result = (await site.login(await site.new_code())).body["result"]
    return result["userId"], result["token"]


async def test_who_has_logged_in_is_told(site: Site) -> None:
    uid, token = await logged_in(site)
    answer = await ask(site, token, userId=uid, clientId="phone")
    assert (answer.status, answer.code, answer.headers["Cache-Control"]) == (200, 0, "no-store")
    assert answer.body["result"] == {"urls": [], "username": "", "credential": "", "ttl": 0}


async def test_nobody_else_is(site: Site) -> None:
    uid, token = await logged_in(site)
    user_token, secret, db_secret = crypto.open_login_token(token)
    forged = crypto.login_token(user_token[:-4] + "AAA=", secret, db_secret)
    for shown, user, client in (
        *(("", uid, "phone"), ("x", uid, "phone"), (token, uid, ""), (token, "", "phone")),
        *((token, uid, "tablet"), (token, "nobody", "phone"), (forged, uid, "phone")),
        (crypto.login_token(user_token, "another secret of 24 letters", db_secret), uid, "phone"),
        ("A" * 3000, uid, "phone"),
    ):
        answer = await ask(site, shown, userId=user, clientId=client)
        assert (answer.status, answer.code, answer.body["result"]) == (401, 401, None)


@pytest.mark.parametrize("text", ["Basic abc", "Bearer", "bearer x"])
async def test_a_header_of_another_kind_is_none(site: Site, text: str) -> None:
    async with site.http.get(
        "/turn", params={"userId": "a", "clientId": "b"}, headers={"Authorization": text}
    ) as response:
        assert response.status == 401
