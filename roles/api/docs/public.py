"""The OpenAPI description of the routes without a key (contract.md sections 3 and 8)."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from roles.api import shapes
from roles.api.gate import PAGE_HEADER, PAGE_VALUE

LOGIN_TAG, MEDIA_TAG, SERVER_TAG, ADMIN_TAG = "Login", "Media", "The server", "Administrators"


class CodeRequest(BaseModel):
    mobile: str = Field(max_length=255, description="A mobile number or e-mail address.")
    invitation: str = Field(
        default="", max_length=255, description="The code of an invitation, where new users need one."
    )


class LoginRequest(CodeRequest):
    code: str = Field(max_length=255, description="The code that was sent.")
    clientId: str = Field(max_length=255, description="Names the device.")
    deviceName: str = Field(
        default="", max_length=64, description="What the device is called in the user's list of devices."
    )


class LoggedIn(BaseModel):
    userId: str
    token: str = Field(description="The secret with which the device proves its connections.")
    register_: bool = Field(alias="register", description="Whether the user is new.")


class Answer(BaseModel):
    code: int = Field(
        description="0 success, 1 no such number, 3 asked too often, 4 server error, 5 the code has expired, "
        "6 wrong code, 7 the server cannot send codes."
    )
    message: str = Field(
        description="success, or a sentence for people in the language of Accept-Language: Chinese or English."
    )


class CodeAnswer(Answer):
    result: Literal[True] | None = Field(description="Null unless the code is 0.")


class LoginAnswer(Answer):
    result: LoggedIn | None = Field(description="Null unless the code is 0.")


class TurnServers(BaseModel):
    """An entry of WebRTC's `iceServers`."""

    urls: list[str] = Field(description="Empty where the server has none.")
    username: str
    credential: str
    ttl: int = Field(description="The seconds for which it is good; 0: no limit.")


class TurnAnswer(BaseModel):
    code: int = Field(description="0, or the status.")
    message: str
    result: TurnServers | None = Field(description="Null unless the code is 0.")


class Alive(BaseModel):
    code: int = Field(description="200.")
    version: str = Field(description="Of the program.")


class Ready(BaseModel):
    code: int = Field(description="200, or 503 while the process cannot serve.")
    parts: dict[str, str] = Field(
        description='The state of each part: "ok", the fault, or "degraded: …" if it still serves.'
    )


class SignInAnswer(BaseModel):
    code: int = Field(description="The HTTP status.")
    message: str
    result: None


class OwnPasswordAnswer(SignInAnswer):
    result: shapes.AdminAccount | None  # type: ignore[assignment]


_FROM_PAGE = [
    {
        "name": PAGE_HEADER,
        "in": "header",
        "required": True,
        "description": f"{PAGE_VALUE}: a page of another origin cannot send it.",
        "schema": {"type": "string"},
    }
]
_NAMES = {
    "bucket": "The bucket of the kind of medium.",
    "name": "The folder of the uploader, and the key, percent-encoded.",
}
_SIGNED = [
    {"name": name, "in": "query", "required": required, "description": what, "schema": {"type": "string"}}
    for name, required, what in (
        ("expires", True, "When the address expires, from the answer to GMURL."),
        ("size", False, "Likewise, of a file in parts: its size."),
        ("offset", False, "Likewise, of a file in parts: where this part begins."),
        ("signature", True, "Likewise."),
    )
]

PUBLIC: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/send_code"): {
        "tags": [LOGIN_TAG],
        "summary": "Send a login code to a number.",
        "body": CodeRequest,
        "responses": {
            200: ("Sent, or refused.", CodeAnswer),
            400: ("The body is not a valid request.", CodeAnswer),
        },
    },
    ("POST", "/login"): {
        "tags": [LOGIN_TAG],
        "summary": "Log a device in.",
        "body": LoginRequest,
        "responses": {
            200: ("Logged in, or refused.", LoginAnswer),
            400: ("The body is not a valid request.", CodeAnswer),
        },
    },
    ("GET", "/turn"): {
        "tags": [LOGIN_TAG],
        "summary": "Say where calls may be relayed (TURN), and with what credentials.",
        "parameters": [
            {"name": name, "in": place, "required": True, "description": what, "schema": {"type": "string"}}
            for name, place, what in (
                ("userId", "query", "As the login answered."),
                ("clientId", "query", "As in the login."),
                ("Authorization", "header", "Bearer, and the token as the login answered."),
            )
        ],
        "responses": {
            200: ("The servers.", TurnAnswer),
            401: ("The token is not of a login of this device.", TurnAnswer),
            503: ("The server cannot do it now.", TurnAnswer),
        },
    },
    ("GET", "/monitor/alive"): {
        "tags": [SERVER_TAG],
        "summary": "Tell that the process is alive.",
        "responses": {200: ("It does.", Alive)},
    },
    ("GET", "/monitor/ready"): {
        "tags": [SERVER_TAG],
        "summary": "Tell whether the process can serve.",
        "responses": {200: ("It can.", Ready), 503: ("It cannot.", Ready)},
    },
    ("GET", "/imopenapi/openapi.json"): {
        "tags": [SERVER_TAG],
        "summary": "This description.",
        "responses": {200: ("OpenAPI 3.1.", None)},
    },
    ("GET", "/docs"): {
        "tags": [SERVER_TAG],
        "summary": "This description as a page for people.",
        "responses": {200: ("HTML.", None)},
    },
    ("POST", "/admin/session"): {
        "tags": [ADMIN_TAG],
        "summary": "Log an administrator in. The answer has the cookie of the session.",
        "parameters": _FROM_PAGE,
        "body": shapes.SignInRequest,
        "responses": {
            200: ("Logged in.", SignInAnswer),
            401: ("The name or the password is wrong.", SignInAnswer),
            403: ("The header is missing.", SignInAnswer),
            429: ("Too many tries; Retry-After says how long to wait.", SignInAnswer),
        },
    },
    ("DELETE", "/admin/session"): {
        "tags": [ADMIN_TAG],
        "summary": "Log the administrator out.",
        "parameters": _FROM_PAGE,
        "responses": {200: ("Logged out.", SignInAnswer), 401: ("There is no session.", SignInAnswer)},
    },
    ("PUT", "/admin/session/password"): {
        "tags": [ADMIN_TAG],
        "summary": "Change one's own password. All other sessions of the administrator end.",
        "parameters": _FROM_PAGE,
        "body": shapes.OwnPassword,
        "responses": {
            200: ("Changed.", OwnPasswordAnswer),
            401: ("The old password is wrong, or there is no session.", SignInAnswer),
        },
    },
    ("PUT", "/media/{bucket}/{name}"): {
        "tags": [MEDIA_TAG],
        "summary": "Upload a file to the signed address that GMURL gave (media kept in a folder).",
        "names": _NAMES,
        "parameters": _SIGNED,
        "file": True,
        "responses": {
            200: ("It is kept.", None),
            403: ("The address was changed or has expired.", None),
            409: ("Of a file in parts: what comes before this part is not there.", None),
            411: ("Of a file in parts: it has no Content-Length.", None),
            413: ("It is too large.", None),
            415: ("It has a Content-Encoding.", None),
        },
    },
    ("GET", "/media/{bucket}/{name}"): {
        "tags": [MEDIA_TAG],
        "summary": "Read a file, or a range of it (media kept in a folder).",
        "names": _NAMES,
        "responses": {200: ("The file.", None), 206: ("The range.", None), 404: ("There is none.", None)},
    },
}
"""By method and path. `body` and the answers are types; the rest has the form of OpenAPI."""
