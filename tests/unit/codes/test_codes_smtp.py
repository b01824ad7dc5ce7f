"""Codes by mail, against a real mail server."""

import asyncio
import email
import email.policy
import socket
from pathlib import Path

import pytest

from fsharechat.codes import CodeError, CodeUnconfirmed
from fsharechat.codes.delivery import Delivery
from fsharechat.settings_schema import CodesSettings, SmtpSettings
from tests.unit.codes.codes_kit import (
    ADDRESS,
    CODE,
    MAIL_PASSWORD,
    MAIL_USER,
    NUMBER,
    MailServer,
    delivery,
    mail_server,
    server_tls,
)
from tools.services.certificates import Authority

SENDER = "飞享IM <noreply@chat.example>"


def by_mail(port: int, seconds: float = 60, **settings: object) -> Delivery:
    smtp = SmtpSettings.model_validate(
        {"host": "127.0.0.1", "port": port, "sender": SENDER, "security": "none", **settings}
    )
    return delivery(CodesSettings(provider="smtp", smtp=smtp, send_seconds=seconds))


def parsed(server: MailServer) -> email.message.EmailMessage:
    (envelope,) = server.mails
    assert isinstance(envelope.content, bytes)
    return email.message_from_bytes(envelope.content, policy=email.policy.default)


async def test_a_mail_has_the_code_in_both_languages_and_no_html() -> None:
    async with mail_server() as server:
        await by_mail(server.port).send(ADDRESS, CODE)
        (envelope,) = server.mails
        mail = parsed(server)
    assert (envelope.mail_from, envelope.rcpt_tos) == ("noreply@chat.example", [ADDRESS])
    assert (mail["From"], mail["To"]) == (SENDER, ADDRESS)
    assert mail["Subject"] == "飞享IM 登录验证码 / FshareChat login code"
    assert mail["Message-ID"].endswith("@chat.example>")
    assert mail["Date"].datetime is not None
    assert mail.get_content_type() == "text/plain"
    text = mail.get_content()
    assert f"验证码是 {CODE}，5 分钟" in text
    assert f"code is {CODE}. It is good for 5 minutes" in text


async def test_the_text_is_the_operators() -> None:
    async with mail_server() as server:
        codes = by_mail(server.port, subject="{code} is it", body="{code} for {minutes} {other}")
        await codes.send(ADDRESS, CODE)
        mail = parsed(server)
    assert mail["Subject"] == f"{CODE} is it"
    assert mail.get_content().strip() == f"{CODE} for 5 {{other}}"


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_it_logs_in_over_an_encrypted_connection(tmp_path: Path, security: str) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    context = server_tls(certificate, key)
    serving = (
        mail_server(starttls=context, login=True) if security == "starttls" else mail_server(tls=context)
    )
    user, password = (MAIL_USER, MAIL_PASSWORD) if security == "starttls" else ("", "")
    async with serving as server:
        codes = by_mail(
            server.port,
            security=security,
            authority=str(authority.certificate),
            username=user,
            password=password,
        )
        await codes.send(ADDRESS, CODE)
        assert "answers" in await codes.check()
        assert len(server.mails) == 1
        assert server.encrypted == [True]
        assert server.users == ([MAIL_USER] * 2 if security == "starttls" else [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_server_whose_certificate_nobody_vouches_for_gets_nothing(
    tmp_path: Path, security: str
) -> None:
    context = server_tls(*Authority(tmp_path).issue("server"))
    serving = mail_server(starttls=context) if security == "starttls" else mail_server(tls=context)
    async with serving as server:
        with pytest.raises(CodeError, match=r"(?i)certificate") as caught:
            await by_mail(server.port, security=security).send(ADDRESS, CODE)
        assert not isinstance(caught.value, CodeUnconfirmed)
        assert server.mails == []


async def test_a_server_without_starttls_gets_nothing() -> None:
    async with mail_server() as server:
        with pytest.raises(CodeError, match=r"(?i)starttls") as caught:
            await by_mail(server.port, security="starttls").send(ADDRESS, CODE)
        assert not isinstance(caught.value, CodeUnconfirmed)
        assert server.mails == []


async def test_a_wrong_password_is_refused_and_stays_secret(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    async with mail_server(starttls=server_tls(certificate, key), login=True) as server:
        codes = by_mail(
            server.port,
            security="starttls",
            authority=str(authority.certificate),
            username=MAIL_USER,
            password="hush",
        )
        for attempt in (codes.send(ADDRESS, CODE), codes.check()):
            with pytest.raises(CodeError, match="535") as caught:
                await attempt
            assert not isinstance(caught.value, CodeUnconfirmed)
            assert "hush" not in str(caught.value)
        assert server.mails == []


@pytest.mark.parametrize(("command", "line"), [("RCPT", "550 no such user"), ("DATA", "554 looks like spam")])
async def test_the_reason_of_a_refusal_is_the_servers(command: str, line: str) -> None:
    async with mail_server() as server:
        server.refuse[command] = f"{line} {CODE}"
        with pytest.raises(CodeError, match=line) as caught:
            await by_mail(server.port).send(ADDRESS, CODE)
        assert not isinstance(caught.value, CodeUnconfirmed)
        assert CODE not in str(caught.value)


async def test_a_server_that_is_not_there_was_not_asked() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        codes = by_mail(unused.getsockname()[1])
        for attempt in (codes.send(ADDRESS, CODE), codes.check()):
            with pytest.raises(CodeError) as caught:
                await attempt
            assert not isinstance(caught.value, CodeUnconfirmed)


async def test_a_server_that_does_not_answer_is_given_up_and_nobody_knows() -> None:
    async with mail_server() as server:
        server.hold = asyncio.Event()
        with pytest.raises(CodeUnconfirmed):
            await by_mail(server.port, seconds=0.5).send(ADDRESS, CODE)
        server.hold.set()


@pytest.mark.parametrize("address", ["o'neil+chat@example.com", "a{b}@example.com", "李雷@example.com"])
async def test_an_unusual_address_is_one_recipient_or_refused(address: str) -> None:
    async with mail_server() as server:
        if address.isascii():
            await by_mail(server.port).send(address, CODE)
            assert [envelope.rcpt_tos for envelope in server.mails] == [[address]]
        else:
            with pytest.raises(CodeError, match="SMTPUTF8"):
                await by_mail(server.port).send(address, CODE)


async def test_mobile_numbers_get_none_by_mail() -> None:
    codes = by_mail(1)
    assert codes.reaches(ADDRESS)
    assert not codes.reaches(NUMBER)


async def test_by_default_both_kinds_are_lines_of_the_log() -> None:
    codes = delivery(CodesSettings())
    assert codes.reaches(ADDRESS)
    assert codes.reaches(NUMBER)
    assert await codes.check() == "to mobile numbers: lines of the log; to e-mail addresses: lines of the log"
