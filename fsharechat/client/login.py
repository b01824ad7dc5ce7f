"""Login over HTTP (contract.md section 3)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import aiohttp

from fsharechat.client.errors import Disconnected, InvalidReply, LoginError
from fsharechat.client.models import Credentials
from fsharechat.client.transcript import printable
from fsharechat.errors import os_reason
from fsharechat.protocol.crypto import CryptoError, open_login_token
from fsharechat.protocol.signals import LoginCode

TIMEOUT = aiohttp.ClientTimeout(total=15)
MAX_SENTENCE = 300


class CompanyLogin(NamedTuple):
    """A login that waits until somebody opens `address` and enters `user_code`. Times are in seconds.

    `whole_address` has the code in it already, and is "" if the provider gives none.
    """

    device_code: str
    user_code: str
    address: str
    whole_address: str
    seconds: float
    interval: float


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
    return _credentials(await _post(http_url, "/login", body), client_id, "/login")


async def begin_company_login(http_url: str) -> CompanyLogin:
    """Begin a login with a company account. The person allows it in a browser, on any machine (docs/oidc.md).

    Raises LoginError if the server refuses, Disconnected if it cannot be reached, InvalidReply if it has no such
    logins.
    """
    result = await _post(http_url, "/oidc/device", {})
    try:
        return CompanyLogin(
            str(result["deviceCode"]),
            str(result["userCode"]),
            str(result["verificationUri"]),
            str(result["verificationUriComplete"]),
            float(result["expiresIn"]),
            float(result["interval"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidReply(f"/oidc/device: {error}") from error


async def company_login(
    http_url: str, begun: CompanyLogin, client_id: str, *, device_name: str = "", invitation: str = ""
) -> Credentials | None:
    """Return the credentials of the device `client_id`, None if the person has not allowed the login yet.

    Ask every `begun.interval` seconds. The errors are those of `login`; code 5: it took too long.
    """
    body = {"deviceCode": begun.device_code, "clientId": client_id} | _invited(invitation)
    if device_name:
        body["deviceName"] = device_name
    result = await _post(http_url, "/oidc/device/login", body)
    if isinstance(result, dict) and result.get("pending"):
        return None
    return _credentials(result, client_id, "/oidc/device/login")


def _credentials(result: Any, client_id: str, path: str) -> Credentials:
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
        raise InvalidReply(f"{path}: {error}") from error


def _sentence(answer: Mapping[str, Any]) -> str:
    """Return the sentence of a refusal, as a part of another one."""
    message = answer.get("message")
    return printable(message)[:MAX_SENTENCE].rstrip(".") if isinstance(message, str) else ""


def _invited(invitation: str) -> dict[str, str]:
    return {"invitation": invitation} if invitation else {}


async def _post(http_url: str, path: str, body: Mapping[str, str]) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.post(
                http_url.rstrip("/") + path, json=body, headers={"Accept-Language": "en"}
            ) as response,
        ):
            # A refusal may come with any HTTP status. The code in the body counts.
            answer = await response.json(content_type=None)
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else os_reason(error)
        raise Disconnected(f"the server at {http_url} cannot be reached: {reason}") from error
    except aiohttp.InvalidURL as error:
        raise InvalidReply(
            f"{http_url} is not the address of a server, such as http://127.0.0.1:8081"
        ) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise InvalidReply(f"{http_url}{path}: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("code"), int):
        raise InvalidReply(f"{http_url}{path} does not answer as a FshareChat server")
    if answer["code"] != 0:
        said = path.startswith("/oidc/") or answer["code"] == LoginCode.MISCONFIGURED
        raise LoginError(answer["code"], _sentence(answer) if said else "")
    return answer.get("result")
