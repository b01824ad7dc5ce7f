"""Fakes of the two SMS vendors: HTTP servers that check each request as the vendor's documentation says.

They compute the signatures from the published algorithms, not with the vendors' libraries, and refuse what they
would refuse: a wrong signature, a missing field. They send nothing to anybody.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, quote

from aiohttp import web

KEY_ID = "TESTKEYID0123456789"
KEY_SECRET = "TestSecret0123456789/+="
CLOCK_SECONDS = 15 * 60
"""Both vendors refuse a request whose time is further off."""


class Sms(NamedTuple):
    """What the vendor was asked to send."""

    number: str
    sign_name: str
    template: str
    values: Any


class FakeVendor:
    """`texts` is what was accepted; `answer` replaces the next answers, `hold` keeps them waiting."""

    def __init__(self) -> None:
        self.texts: list[Sms] = []
        self.requests = 0
        self.answer: Callable[[], web.Response] | None = None
        self.hold: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.hold is not None:
            self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests += 1
        if self.hold is not None:
            await self.hold.wait()
        return self.answer() if self.answer is not None else self.check(request, body)

    def check(self, request: web.Request, body: bytes) -> web.Response:
        raise NotImplementedError


def acs3_signature(
    method: str, query: Mapping[str, str], headers: Mapping[str, str], signed: str, body: bytes, secret: str
) -> str:
    """Return the signature of ACS3-HMAC-SHA256 (Alibaba Cloud, "V3 request structure and signature")."""
    canonical_query = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(query.items()))
    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in signed.split(";"))
    request = "\n".join((method, "/", canonical_query, canonical_headers, signed, sha256(body).hexdigest()))
    text = f"ACS3-HMAC-SHA256\n{sha256(request.encode()).hexdigest()}"
    return hmac.new(secret.encode(), text.encode(), sha256).hexdigest()


class FakeAliyun(FakeVendor):
    """Stands for dysmsapi.aliyuncs.com, action SendSms of version 2017-05-25."""

    def check(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(request.query) | dict(parse_qsl(body.decode()))
        algorithm, _, rest = headers.get("authorization", "").partition(" ")
        fields = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
        signed = fields.get("SignedHeaders", "")
        must_be_signed = {"host", *(name for name in headers if name.startswith("x-acs-"))}
        sent_at = datetime.strptime(headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        if algorithm != "ACS3-HMAC-SHA256" or not must_be_signed <= set(signed.split(";")):
            return _aliyun_error(400, "IncompleteSignature", "The request signature does not conform.")
        if fields.get("Credential") != KEY_ID:
            return _aliyun_error(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")
        if abs(sent_at.timestamp() - time.time()) > CLOCK_SECONDS:
            return _aliyun_error(400, "InvalidTimeStamp.Expired", "Specified time stamp is expired.")
        expected = acs3_signature(request.method, request.query, headers, signed, body, KEY_SECRET)
        if headers["x-acs-content-sha256"] != sha256(body).hexdigest() or fields.get("Signature") != expected:
            told = f"Specified signature is not matched. server string to sign is: {request.path_qs}"
            return _aliyun_error(400, "SignatureDoesNotMatch", told)
        if (headers["x-acs-action"], headers["x-acs-version"]) != ("SendSms", "2017-05-25"):
            return _aliyun_error(404, "InvalidAction.NotFound", "Specified api is not found.")
        if not headers.get("x-acs-signature-nonce"):
            return _aliyun_error(400, "MissingNonce", "x-acs-signature-nonce is mandatory.")
        values = json.loads(query["TemplateParam"])
        self.texts.append(Sms(query["PhoneNumbers"], query["SignName"], query["TemplateCode"], values))
        return aliyun_answer("OK", "OK")


def aliyun_answer(code: str, message: str) -> web.Response:
    """Return an answer of the API: it tells of a refusal with status 200."""
    return web.json_response({"Code": code, "Message": message, "RequestId": "R-1", "BizId": "B-1"})


def _aliyun_error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"Code": code, "Message": message, "RequestId": "R-1"}, status=status)


def tc3_signature(
    headers: Mapping[str, str], signed: str, body: bytes, stamp: int, service: str, secret: str
) -> str:
    """Return the signature of TC3-HMAC-SHA256 for a POST (Tencent Cloud, "Signature v3")."""

    def keyed(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), sha256).digest()

    canonical_headers = "".join(f"{name}:{headers[name].strip()}\n" for name in signed.split(";"))
    request = "\n".join(("POST", "/", "", canonical_headers, signed, sha256(body).hexdigest()))
    date = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d")
    text = "\n".join(
        (
            "TC3-HMAC-SHA256",
            str(stamp),
            f"{date}/{service}/tc3_request",
            sha256(request.encode()).hexdigest(),
        )
    )
    key = keyed(keyed(keyed(f"TC3{secret}".encode(), date), service), "tc3_request")
    return keyed(key, text).hex()


class FakeTencent(FakeVendor):
    """Stands for sms.tencentcloudapi.com, action SendSms of version 2021-01-11."""

    def __init__(self) -> None:
        super().__init__()
        self.app_ids: set[str] = set()

    def check(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        stamp = int(headers["x-tc-timestamp"])
        algorithm, _, rest = headers.get("authorization", "").partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
        signed = fields.get("SignedHeaders", "")
        date = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d")
        if request.method != "POST" or not headers["content-type"].startswith("application/json"):
            return tencent_error("UnsupportedProtocol", "Only POST of JSON.")
        if algorithm != "TC3-HMAC-SHA256" or not {"content-type", "host"} <= set(signed.split(";")):
            return tencent_error("AuthFailure.InvalidAuthorization", "The authorization is invalid.")
        if fields.get("Credential") != f"{KEY_ID}/{date}/sms/tc3_request":
            return tencent_error("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
        if abs(stamp - time.time()) > CLOCK_SECONDS:
            return tencent_error("AuthFailure.SignatureExpire", "The signature is expired.")
        if fields.get("Signature") != tc3_signature(headers, signed, body, stamp, "sms", KEY_SECRET):
            return tencent_error("AuthFailure.SignatureFailure", "The signature does not match.")
        if (headers["x-tc-action"], headers["x-tc-version"]) != ("SendSms", "2021-01-11"):
            return tencent_error("InvalidAction", "The action does not exist.")
        if headers["x-tc-region"] != "ap-guangzhou":
            return tencent_error("UnsupportedRegion", "The region does not have it.")
        asked = json.loads(body)
        (number,) = asked["PhoneNumberSet"]
        self.app_ids.add(asked["SmsSdkAppId"])
        sign_name = asked["SignName"] if number.startswith("+86") else asked.get("SignName", "")
        self.texts.append(Sms(number, sign_name, asked["TemplateId"], asked["TemplateParamSet"]))
        return tencent_answer("Ok", "send success")


def tencent_answer(code: str, message: str) -> web.Response:
    """Return an answer of the API: it tells of a refusal of one number in that number's status."""
    status = {"SerialNo": "S-1", "PhoneNumber": "+86", "Fee": 1, "SessionContext": "", "IsoCode": "CN"}
    return _tencent({"SendStatusSet": [status | {"Code": code, "Message": message}], "RequestId": "R-1"})


def tencent_error(code: str, message: str) -> web.Response:
    """Return a refusal of the whole request, with status 200 as the API has it."""
    return _tencent({"Error": {"Code": code, "Message": message}, "RequestId": "R-1"})


def _tencent(response: object) -> web.Response:
    # The vendor's content type has no charset, and its library looks for that.
    body = json.dumps({"Response": response}).encode()
    return web.Response(body=body, headers={"Content-Type": "application/json"})
