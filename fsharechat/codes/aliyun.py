"""The provider `aliyun`: SMS by Alibaba Cloud's Dysmsapi, version 2017-05-25."""

import orjson
from alibabacloud_dysmsapi20170525.client import Client
from alibabacloud_dysmsapi20170525.models import SendSmsRequest
from alibabacloud_tea_openapi.exceptions import AlibabaCloudException
from alibabacloud_tea_openapi.utils_models import Config
from Tea.exceptions import TeaException

from fsharechat.codes import CodeError, CodeUnconfirmed
from fsharechat.codes.sms import SmsCodes, failure
from fsharechat.login_numbers import abroad
from fsharechat.settings_schema import AliyunSettings


class AliyunCodes(SmsCodes):
    """`seconds` bounds the connecting, and then each wait for the vendor.

    The library has asynchronous methods too. But for every request they read the certificates of all authorities from
    disk on the loop, and for 30 ms nothing else runs.
    """

    def __init__(self, settings: AliyunSettings, seconds: float, at_once: int) -> None:
        super().__init__(settings.endpoint, at_once)
        self._settings = settings
        milliseconds = int(seconds * 1000)
        self._client = Client(
            Config(
                access_key_id=settings.access_key_id,
                access_key_secret=settings.access_key_secret,
                endpoint=self.endpoint.netloc,
                protocol=self.endpoint.scheme.upper(),
                connect_timeout=milliseconds,
                read_timeout=milliseconds,
                max_idle_conns=at_once,
            )
        )

    def reaches(self, number: str) -> bool:
        return not abroad(number) or bool(self._settings.abroad_template)

    def request(self, number: str, code: str) -> None:
        settings = self._settings
        request = SendSmsRequest(
            phone_numbers=number.removeprefix("+"),
            sign_name=settings.sign_name,
            template_code=settings.abroad_template if abroad(number) else settings.template,
            template_param=orjson.dumps({self._settings.variable: code}).decode(),
        )
        try:
            answer = self._client.send_sms(request).body
        except AlibabaCloudException as error:
            raise CodeError(f"{error.code}: {error.message}") from error
        except TeaException as error:
            inner = getattr(error, "inner_exception", error)
            raise failure(error, getattr(inner, "message", inner)) from error
        if answer is None or not answer.code:
            raise CodeUnconfirmed("an answer without a status")
        if answer.code != "OK":
            raise CodeError(f"{answer.code}: {answer.message}")
