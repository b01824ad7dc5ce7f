"""The texts of `/send_code` and `/login` for people, in Chinese and English (contract.md section 3).

Clients show the text unchanged. Without a wanted language it is Chinese, for other languages English.
"""

import re
from collections.abc import Iterable
from enum import IntEnum, StrEnum

from fsharechat.protocol.signals import LoginCode


class Language(IntEnum):
    """The place of each language in a pair of texts."""

    CHINESE = 0
    ENGLISH = 1


_LANGUAGES = {"zh": Language.CHINESE, "en": Language.ENGLISH, "*": Language.CHINESE}
_QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


class Wrong(StrEnum):
    """The faults of a request."""

    NO_JSON = "no JSON"
    NO_OBJECT = "no object"
    FIELD = "field"
    INVITATION = "invitation"
    NO_CODES = "no codes"
    TAKEN = "taken"
    LOGIN_OVER = "login over"
    NOT_LET_IN = "not let in"
    PROVIDER_AWAY = "provider away"
    PROVIDER_REFUSED = "provider refused"
    PROVIDER_WRONG = "provider wrong"


_TEXTS: dict[LoginCode | Wrong, tuple[str, str]] = {
    LoginCode.SUCCESS: ("success", "success"),
    LoginCode.INVALID_NUMBER: (
        "请输入正确的手机号或邮箱地址",
        "This is not a mobile number or an e-mail address.",
    ),
    LoginCode.TOO_OFTEN: ("操作过于频繁，请稍后再试", "Asked too often. Try again later."),
    LoginCode.SERVER_ERROR: ("服务器错误，请稍后再试", "The server failed. Try again later."),
    LoginCode.CODE_EXPIRED: ("验证码已过期，请重新获取", "The code has expired. Ask for a new one."),
    LoginCode.WRONG_CODE: ("验证码错误", "The code is wrong."),
    LoginCode.MISCONFIGURED: ("服务器无法发送验证码", "The server cannot send codes."),
    LoginCode.NO_SESSION: ("该账号已被禁用", "This account is blocked."),
    Wrong.NO_JSON: ("请求必须是 JSON", "The body must be JSON."),
    Wrong.NO_OBJECT: ("请求必须是 JSON 对象", "The body must be a JSON object."),
    Wrong.INVITATION: (
        "该号码或邮箱不能在此注册，请联系管理员",
        "This number or address may not register here. Ask the administrator.",
    ),
    Wrong.NO_CODES: (
        "此处不发送验证码，请用公司账号登录",
        "No codes are sent here. Log in with your company account.",
    ),
    Wrong.TAKEN: (
        "该账号的手机号或邮箱已属于本站的其他用户，请用验证码登录，或联系管理员",
        "Another user has the address or number of this account. Log in with a code, or ask the administrator.",
    ),
    Wrong.LOGIN_OVER: (
        "登录已超时或已完成，请重新登录",
        "This login took too long, or is already done. Begin again.",
    ),
    Wrong.NOT_LET_IN: (
        "该账号不能登录此处，请联系管理员",
        "This account may not log in here. Ask the administrator.",
    ),
    Wrong.PROVIDER_AWAY: (
        "账号服务暂时无法使用，请稍后再试",
        "The account service cannot be reached. Try again later.",
    ),
    Wrong.PROVIDER_REFUSED: ("账号服务拒绝了此次登录", "The account service refused this login."),
    Wrong.PROVIDER_WRONG: (
        "账号服务的应答无法信任，请联系管理员",
        "The answer of the account service cannot be trusted. Ask the administrator.",
    ),
    Wrong.FIELD: ("{field} 须为 1 至 {most} 个字符", "{field} must be a text of 1 to {most} characters."),
}


def said(what: LoginCode | Wrong, language: Language, **parts: object) -> str:
    """Return the text for a result, or for the fault of a request."""
    return _TEXTS[what][language].format(**parts)


def language(headers: Iterable[str]) -> Language:
    """Return the language that the Accept-Language headers of a request ask for (RFC 9110, section 12.5.4)."""
    ranges = [_range(part) for header in headers for part in header.split(",")]
    asked = sorted((one for one in ranges if one[0] and one[1] > 0), key=lambda one: -one[1])
    for tag, _ in asked:
        if tag in _LANGUAGES:
            return _LANGUAGES[tag]
    return Language.ENGLISH if asked else Language.CHINESE


def _range(text: str) -> tuple[str, float]:
    """Return the language of one range, without its region, and its weight, 0 if it cannot be read."""
    tag, _, parameter = text.partition(";")
    name, _, value = parameter.partition("=")
    quality = 1.0
    if name.strip().lower() == "q":
        quality = float(value) if _QUALITY.fullmatch(value := value.strip()) else 0.0
    return tag.strip().lower().partition("-")[0], quality
