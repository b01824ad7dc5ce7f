"""The provider `tencent`: SMS by Tencent Cloud, version 2021-01-11."""

import threading

from tencentcloud.common.credential import Credential
from tencentcloud.common.exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sms.v20210111.models import SendSmsRequest
from tencentcloud.sms.v20210111.sms_client import SmsClient

from fsharechat.codes import CodeError, CodeUnconfirmed, fill
from fsharechat.codes.sms import SmsCodes, failure
from fsharechat.login_numbers import abroad
from fsharechat.settings_schema import TencentSettings


class TencentCodes(SmsCodes):
    """`seconds` bounds connecting, and then each wait for the vendor. `minutes` is for the template."""

    def __init__(self, settings: TencentSettings, minutes: int, seconds: float, at_once: int) -> None:
        super().__init__(settings.endpoint, at_once)
        self._settings = settings
        self._minutes = minutes
        self._seconds = seconds
        self._thread = threading.local()

    def reaches(self, number: str) -> bool:
        return not abroad(number) or bool(self._settings.abroad_template)

    def request(self, number: str, code: str) -> None:
        request = SendSmsRequest()
        request.SmsSdkAppId = self._settings.app_id
        if abroad(number):  # signatures of the mainland are not for other countries, and there none is needed
            request.PhoneNumberSet = [number]
            request.TemplateId = self._settings.abroad_template
        else:
            request.PhoneNumberSet = [f"+86{number}"]
            request.SignName = self._settings.sign_name
            request.TemplateId = self._settings.template
        request.TemplateParamSet = [
            fill(variable, code, self._minutes) for variable in self._settings.variables
        ]
        try:
            answers = self._client().SendSms(request).SendStatusSet
        except TencentCloudSDKException as error:
            reason = f"{error.code}: {error.message}"
            if (
                error.requestId
            ):  # only the vendor gives one: other errors come from the library or the network
                raise CodeError(reason) from error
            raise failure(error, reason) from error
        if not answers:
            raise CodeUnconfirmed("an answer without a status")
        if answers[0].Code != "Ok":
            raise CodeError(f"{answers[0].Code}: {answers[0].Message}")

    def _client(self) -> SmsClient:
        """Return the client of this thread. A client keeps its connection, and must not be shared."""
        client: SmsClient | None = getattr(self._thread, "client", None)
        if client is None:
            http = HttpProfile(
                protocol=self.endpoint.scheme, endpoint=self.endpoint.netloc, reqTimeout=self._seconds
            )
            credential = Credential(self._settings.secret_id, self._settings.secret_key)
            client = SmsClient(credential, self._settings.region, ClientProfile(httpProfile=http))
            self._thread.client = client
        return client
