"""Login over HTTP (contract.md section 3)."""

from collections.abc import Mapping
from typing import Any

import aiohttp

from fsharechat.client.errors import Disconnected, InvalidReply, LoginError
from fsharechat.client.models import Credentials
from fsharechat.protocol.crypto import CryptoError, open_login_token

TIMEOUT = aiohttp.ClientTimeout(total=15)


async def send_code(http_url: str, mobile: str, *, invitation: str = "") -> None:
    """Ask the server to send a login code to `mobile`, a number or an e-mail address.

    `invitation` is the code of an invitation, for servers that make new users by invitation only.

    Raises LoginError if it refuses, Disconnected if it cannot be reached.
    """
    await _post(http_url, "/send_code", {"mobile": mobile} | _invited(invitation))


async def login(
    http_url: str, mobile: str, code: str, client_id: str, *, device_name: str = "", invitation: str = ""
) -> Credentials:
    """Log in with a code and return the credentials of the device `client_id`.

    `device_name` is what the user's list of devices calls it, up to 64 characters. `invitation` is as for
    `send_code`.

    Raises LoginError if the server refuses, Disconnected if it cannot be reached, InvalidReply if the answer is no
    login.
    """
    body = {"mobile": mobile, "code": code, "clientId": client_id} | _invited(invitation)
    if device_name:
        body["deviceName"] = device_name
    result = await _post(http_url, "/login", body)
    try:
        user_token, secret, db_secret = open_login_token(result["token"])
        return Credentials(
            user_id=result["userId"],
            user_token=user_token,
            secret=secret,
            db_secret=db_secret,
            client_id=client_id,
            registered=bool(result["register"]),
        )
    except (CryptoError, KeyError, TypeError) as error:
        raise InvalidReply(f"/login: {error}") from error


def _invited(invitation: str) -> dict[str, str]:
    return {"invitation": invitation} if invitation else {}


async def _post(http_url: str, path: str, body: Mapping[str, str]) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.post(http_url.rstrip("/") + path, json=body) as response,
        ):
            # A refusal may come with any HTTP status. The code in the body counts.
            answer = await response.json(content_type=None)
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        raise Disconnected(f"the server at {http_url} cannot be reached: {error}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise InvalidReply(f"{http_url}{path}: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
        raise InvalidReply(f"{http_url}{path} does not answer as a FshareChat server")
    if answer["code"] != 0:
        raise LoginError(answer["code"])
    return answer.get("result")
