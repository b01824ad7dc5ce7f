"""The settings of login codes, and of those who take them to people. settings.toml explains each."""

from email.utils import parseaddr
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fsharechat.settings_types import (
    Count,
    Number,
    PemFile,
    Seconds,
    Secret,
    Section,
    WebAddress,
    Whole,
    Words,
)


class AliyunSettings(Section):
    access_key_id: str = ""
    access_key_secret: Secret = ""
    sign_name: str = ""
    template: str = ""
    variable: Annotated[str, Field(min_length=1)] = "code"
    endpoint: WebAddress = "https://dysmsapi.aliyuncs.com"


class TencentSettings(Section):
    secret_id: str = ""
    secret_key: Secret = ""
    app_id: str = ""
    sign_name: str = ""
    template: str = ""
    variables: Words = ("{code}",)
    region: Annotated[str, Field(min_length=1)] = "ap-guangzhou"
    endpoint: WebAddress = "https://sms.tencentcloudapi.com"


class SmtpSettings(Section):
    host: str = ""
    port: Annotated[Whole, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    authority: PemFile = ""
    username: str = ""
    password: Secret = ""
    sender: str = ""
    subject: str = "飞享IM 登录验证码 / FshareChat login code"
    body: str = (
        "您的登录验证码是 {code}，{minutes} 分钟内有效。请勿告诉他人；如非本人操作，请忽略此邮件。\n\n"
        "Your login code is {code}. It is good for {minutes} minutes. Tell it to nobody; "
        "if you did not ask for it, ignore this mail.\n"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.host and "@" not in parseaddr(self.sender)[1]:
            raise ValueError('sender must be an e-mail address, or "Name <address>", where host is set')
        if "{code}" not in self.body:
            raise ValueError("body must contain {code}")
        if not self.subject.isprintable():
            raise ValueError("subject must be one line")
        if bool(self.username) != bool(self.password):
            raise ValueError("username and password must be set together, or neither")
        if self.username and self.security == "none":
            raise ValueError('username and password would travel in the clear with security = "none"')
        return self


_NEEDED = {
    "log": (),
    "aliyun": ("access_key_id", "access_key_secret", "sign_name", "template"),
    "tencent": ("secret_id", "secret_key", "app_id", "sign_name", "template"),
    "smtp": ("host",),
}


class CodesSettings(Section):
    provider: Literal["log", "aliyun", "tencent", "smtp"] = "log"
    super_code: Annotated[Secret, Field(pattern=r"^[0-9A-Za-z]{0,32}$")] = ""
    lifetime_seconds: Seconds = 300
    resend_seconds: Annotated[Number, Field(ge=0, le=86_400)] = 60
    per_day: Count = 10
    wrong_guesses: Count = 5
    send_seconds: Seconds = 8
    max_sending: Annotated[Whole, Field(ge=1, le=256)] = 32
    aliyun: AliyunSettings = AliyunSettings()
    tencent: TencentSettings = TencentSettings()
    smtp: SmtpSettings = SmtpSettings()

    @model_validator(mode="after")
    def _complete(self) -> Self:
        section = getattr(self, self.provider, None)
        if missing := [key for key in _NEEDED[self.provider] if not getattr(section, key)]:
            raise ValueError(
                f'provider = "{self.provider}" needs {", ".join(missing)} in [codes.{self.provider}]'
            )
        return self
