"""SMS by Alibaba Cloud and by Tencent Cloud: what the vendors are asked, and what comes of their answers."""

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from fsharechat.codes import CodeError, CodeUnconfirmed
from fsharechat.codes.delivery import Delivery
from fsharechat.settings_schema import CodesSettings
from tests.unit.codes.codes_kit import CODE, NUMBER, aliyun_settings, delivery, server_tls, tencent_settings
from tests.unit.codes.fake_vendors import (
    FakeAliyun,
    FakeTencent,
    FakeVendor,
    Sms,
    aliyun_answer,
    tencent_answer,
    tencent_error,
)
from tools.services.certificates import Authority
from tools.wire.port import StreamPort

pytestmark = pytest.mark.parametrize("vendor", ["aliyun", "tencent"], indirect=True)

ABROAD = "+4915112345678"


@dataclass
class Line:
    """A vendor and how to be its customer."""

    vendor: FakeVendor
    settings: Callable[..., CodesSettings]
    sent: Sms
    refusal: Callable[[str, str], web.Response]

    def delivery(
        self, url: str = "", seconds: float = 60, at_once: int = 4, abroad: str = "", **wrong: str
    ) -> Delivery:
        return delivery(self.settings(url or self.vendor.url, seconds, at_once, abroad, **wrong))


@pytest.fixture
def vendor(request: pytest.FixtureRequest, aliyun: FakeAliyun, tencent: FakeTencent) -> Line:
    def by_aliyun(url: str, seconds: float, at_once: int, abroad: str, **wrong: str) -> CodesSettings:
        settings = aliyun_settings(url, **wrong).model_copy(update={"abroad_template": abroad})
        return CodesSettings(provider="aliyun", aliyun=settings, send_seconds=seconds, max_sending=at_once)

    def by_tencent(url: str, seconds: float, at_once: int, abroad: str, **wrong: str) -> CodesSettings:
        settings = tencent_settings(url, **wrong).model_copy(update={"abroad_template": abroad})
        return CodesSettings(provider="tencent", tencent=settings, send_seconds=seconds, max_sending=at_once)

    if request.param == "aliyun":
        sms = Sms(NUMBER, "飞享IM", "SMS_180355435", {"code": CODE})
        return Line(aliyun, by_aliyun, sms, aliyun_answer)
    sms = Sms(f"+86{NUMBER}", "飞享IM", "1234567", [CODE, "5"])
    return Line(tencent, by_tencent, sms, tencent_answer)


async def test_a_code_is_sent_with_all_that_the_vendor_wants(vendor: Line) -> None:
    codes = vendor.delivery()
    await codes.send(NUMBER, CODE)
    assert vendor.vendor.texts == [vendor.sent]
    if isinstance(vendor.vendor, FakeTencent):
        assert vendor.vendor.app_ids == {"1400006666"}
    await codes.close()


async def test_a_code_for_another_country_goes_by_the_template_for_it(vendor: Line) -> None:
    codes = vendor.delivery(abroad="SMS_7")
    assert codes.reaches(ABROAD)
    await codes.send(ABROAD, CODE)
    expected = Sms(ABROAD, "", "SMS_7", [CODE, "5"])
    if isinstance(vendor.vendor, FakeAliyun):
        expected = Sms(ABROAD[1:], "飞享IM", "SMS_7", {"code": CODE})
    assert vendor.vendor.texts == [expected]
    await codes.close()


async def test_without_such_a_template_other_countries_get_no_codes(vendor: Line) -> None:
    codes = vendor.delivery()
    assert codes.reaches(NUMBER)
    assert not codes.reaches(ABROAD)
    with pytest.raises(CodeError, match="no provider"):
        await codes.send(ABROAD, CODE)
    assert vendor.vendor.requests == 0
    await codes.close()


async def test_the_reason_shows_no_number_of_another_country(vendor: Line) -> None:
    vendor.vendor.answer = lambda: vendor.refusal("isv.X", f"{ABROAD[1:]} and {ABROAD}")
    codes = vendor.delivery(abroad="SMS_7")
    with pytest.raises(CodeError) as caught:
        await codes.send(ABROAD, CODE)
    assert ABROAD[1:] not in str(caught.value)
    await codes.close()


async def test_many_codes_go_at_once(vendor: Line) -> None:
    codes = vendor.delivery(at_once=8)
    numbers = [f"138000000{i:02}" for i in range(8)]
    await asyncio.gather(*[codes.send(number, CODE) for number in numbers])
    assert sorted(sms.number[-11:] for sms in vendor.vendor.texts) == numbers
    await codes.close()


async def test_a_wrong_secret_is_refused_and_the_reason_shows_no_code(vendor: Line) -> None:
    codes = vendor.delivery(secret="another secret")
    with pytest.raises(CodeError, match="Signature") as caught:
        await codes.send(NUMBER, CODE)
    assert not isinstance(caught.value, CodeUnconfirmed)
    assert CODE not in str(caught.value)
    assert NUMBER not in str(caught.value)
    assert vendor.vendor.texts == []
    await codes.close()


async def test_the_reason_of_a_refusal_is_the_vendors(vendor: Line) -> None:
    vendor.vendor.answer = lambda: vendor.refusal("isv.AMOUNT_NOT_ENOUGH", "余额不足")
    codes = vendor.delivery()
    with pytest.raises(CodeError, match="AMOUNT_NOT_ENOUGH: 余额不足") as caught:
        await codes.send(NUMBER, CODE)
    assert not isinstance(caught.value, CodeUnconfirmed)
    await codes.close()


async def test_a_refusal_of_the_whole_request_is_one_too(vendor: Line) -> None:
    vendor.vendor.answer = (
        (lambda: tencent_error("LimitExceeded", "slow down"))
        if isinstance(vendor.vendor, FakeTencent)
        else (lambda: web.json_response({"Code": "LimitExceeded", "Message": "slow down"}, status=503))
    )
    codes = vendor.delivery()
    with pytest.raises(CodeError, match=r"LimitExceeded.*slow down") as caught:
        await codes.send(NUMBER, CODE)
    assert not isinstance(caught.value, CodeUnconfirmed)
    await codes.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=502, text="<html>bad gateway</html>", content_type="text/html"),
        lambda: web.Response(text="no JSON"),
        lambda: web.json_response({}),
        lambda: web.json_response([]),
    ],
    ids=["502", "text", "empty", "list"],
)
async def test_an_answer_that_is_none_confirms_nothing(
    vendor: Line, answer: Callable[[], web.Response]
) -> None:
    vendor.vendor.answer = answer
    codes = vendor.delivery()
    with pytest.raises(CodeUnconfirmed):
        await codes.send(NUMBER, CODE)
    await codes.close()


async def test_a_vendor_that_cannot_be_reached_was_not_asked(vendor: Line) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        codes = vendor.delivery(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(CodeError) as caught:
            await codes.send(NUMBER, CODE)
        assert not isinstance(caught.value, CodeUnconfirmed)
        assert CODE not in str(caught.value)
        with pytest.raises(CodeError, match=r"127\.0\.0\.1"):
            await codes.check()
        await codes.close()


async def test_a_vendor_whose_certificate_nobody_vouches_for_gets_nothing(
    vendor: Line, tmp_path: Path
) -> None:
    asked = False

    async def connected(*_: object) -> None:
        nonlocal asked
        asked = True

    async with StreamPort(connected, server_tls(*Authority(tmp_path).issue("server"))) as port:
        codes = vendor.delivery(f"https://{port.address}")
        with pytest.raises(CodeError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await codes.send(NUMBER, CODE)
        assert not isinstance(caught.value, CodeUnconfirmed)
        await codes.close()
    assert not asked


async def test_a_vendor_that_does_not_answer_is_given_up_and_nobody_knows(vendor: Line) -> None:
    vendor.vendor.hold = asyncio.Event()
    codes = vendor.delivery(seconds=0.2)
    with pytest.raises(CodeUnconfirmed):
        await codes.send(NUMBER, CODE)
    await codes.close()


async def test_so_many_at_once_and_no_more(vendor: Line) -> None:
    vendor.vendor.hold = asyncio.Event()
    codes = vendor.delivery(at_once=2)
    sends = [asyncio.create_task(codes.send(NUMBER, CODE)) for _ in range(2)]
    while vendor.vendor.requests < 2:
        await asyncio.sleep(0.001)
    with pytest.raises(CodeError, match="2 codes are being sent"):
        await codes.send(NUMBER, CODE)
    vendor.vendor.hold.set()
    await asyncio.gather(*sends)
    await codes.send(NUMBER, CODE)
    assert len(vendor.vendor.texts) == 3
    await codes.close()


async def test_nothing_of_it_is_in_the_log_whatever_its_level(
    vendor: Line,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEBUG", "sdk")
    caplog.set_level(logging.DEBUG)
    codes = vendor.delivery()
    await codes.send(NUMBER, CODE)
    await codes.close()
    written = caplog.text + "".join(capfd.readouterr())
    assert CODE not in written
    assert NUMBER not in written


async def test_the_check_reaches_the_vendor_and_sends_nothing(vendor: Line) -> None:
    codes = vendor.delivery()
    assert "is there" in await codes.check()
    assert vendor.vendor.texts == []
    await codes.close()


async def test_an_e_mail_address_is_none_of_a_vendors_business(vendor: Line) -> None:
    codes = vendor.delivery()
    assert codes.reaches(NUMBER)
    assert not codes.reaches("ann@example.com")
    with pytest.raises(CodeError, match="no provider"):
        await codes.send("ann@example.com", CODE)
    assert vendor.vendor.requests == 0
    await codes.close()
