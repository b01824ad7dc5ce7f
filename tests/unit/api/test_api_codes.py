"""/send_code when codes do not get through."""

import pytest

from fsharechat import settings_schema as s
from fsharechat.codes import CodeError, CodeUnconfirmed
from fsharechat.codes.log import LogCodes
from fsharechat.protocol.signals import LoginCode
from fsharechat.settings_schema import SmtpSettings
from tests.unit.api.api_kit import NUMBER, Site


class Vendor:
    """Fails with `error` while it is set, and keeps what it was asked to send."""

    def __init__(self) -> None:
        self.error: CodeError | None = None
        self.codes: list[str] = []

    async def send(self, _number: str, code: str) -> None:
        self.codes.append(code)
        if self.error is not None:
            raise self.error


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Vendor:
    opened = Vendor()
    monkeypatch.setattr(LogCodes, "send", lambda _, number, code: opened.send(number, code))
    return opened


async def test_a_refusal_is_code_4_and_the_log_has_the_reason_but_no_code(site: Site, vendor: Vendor) -> None:
    vendor.error = CodeError("isv.AMOUNT_NOT_ENOUGH: 余额不足")
    answer = await site.send_code()
    assert (answer.status, answer.code, answer.body["result"]) == (200, LoginCode.SERVER_ERROR, None)
    assert "余额" not in answer.body["message"]
    (line,) = [line for line in site.logs if line["event"] == "login code not sent"]
    assert (line["log_level"], line["reason"]) == ("error", "isv.AMOUNT_NOT_ENOUGH: 余额不足")
    assert vendor.codes[0] not in str(site.logs)
    assert NUMBER not in str(site.logs)


async def test_a_vendor_that_refuses_all_day_keeps_nobody_out_when_it_sends_again(
    site: Site, vendor: Vendor
) -> None:
    vendor.error = CodeError("down")
    for _ in range(20):
        assert (await site.send_code()).code == LoginCode.SERVER_ERROR
    assert (await site.login(vendor.codes[-1])).code == LoginCode.CODE_EXPIRED
    vendor.error = None
    assert (await site.send_code()).code == LoginCode.SUCCESS
    assert (await site.login(vendor.codes[-1])).code == LoginCode.SUCCESS


async def test_a_code_that_may_have_been_sent_works_and_a_next_one_waits_a_minute(
    site: Site, vendor: Vendor
) -> None:
    vendor.error = CodeUnconfirmed("no answer within 8 s")
    for _ in range(20):
        assert (await site.send_code()).code == LoginCode.SERVER_ERROR
        assert (await site.send_code()).code == LoginCode.TOO_OFTEN
        site.now += 60_000
    assert (await site.send_code()).code == LoginCode.SERVER_ERROR
    assert (await site.login(vendor.codes[-1])).code == LoginCode.SUCCESS


class TestWithMailAlone:
    @pytest.fixture
    def codes(self) -> s.CodesSettings:
        return s.CodesSettings(
            provider="smtp",
            smtp=SmtpSettings(host="127.0.0.1", port=9, security="none", sender="im@chat.example"),
        )

    async def test_a_mobile_number_is_told_that_the_server_sends_none(self, site: Site) -> None:
        for _ in range(2):
            answer = await site.send_code()
            assert (answer.status, answer.code) == (200, LoginCode.MISCONFIGURED)
        assert (await site.login("123456")).code == LoginCode.CODE_EXPIRED
        assert (
            await site.send_code("ann@example.com")
        ).code == LoginCode.SERVER_ERROR  # nobody is at that port
