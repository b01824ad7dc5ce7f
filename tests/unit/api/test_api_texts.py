"""What people are told when a login is refused: in their language, Chinese where they ask for none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol.signals import LoginCode
from roles.api.texts import Language, language, said
from tests.unit.api.api_kit import NUMBER, Site

CHINESE, ENGLISH = Language.CHINESE, Language.ENGLISH


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", CHINESE),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("zh", CHINESE),
        ("*", CHINESE),
        ("en", ENGLISH),
        ("EN-us", ENGLISH),
        ("en;q=0.4, zh;q=0.5", CHINESE),
        ("zh;q=0.4, en ; q=0.5", ENGLISH),
        ("en, zh", ENGLISH),
        ("zh;q=0, en;q=0.1", ENGLISH),
        ("de, fr;q=0.9", ENGLISH),
        ("de, zh;q=0.1", CHINESE),
        (",,", CHINESE),
        ("en;q=high", CHINESE),
    ],
)
def test_a_language_is_found(header: str, wanted: Language) -> None:
    assert language([header] if header else []) is wanted
    assert language(header.split(",")) is wanted


@given(st.lists(st.text(max_size=40)))
def test_any_header_gives_a_language(headers: list[str]) -> None:
    assert language(headers) in Language


def test_every_result_has_a_text_in_both_languages() -> None:
    for code in LoginCode:
        texts = [said(code, one) for one in Language]
        assert all(texts)
        assert code is LoginCode.SUCCESS or texts[0] != texts[1]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (None, "验证码错误"),
        ("zh-CN", "验证码错误"),
        ("en-GB,en;q=0.9", "The code is wrong."),
    ],
)
async def test_a_refusal_is_a_sentence_in_the_language_of_the_client(
    site: Site, header: str | None, text: str
) -> None:
    await site.new_code()
    headers = {"Accept-Language": header} if header else {}
    body = {"mobile": NUMBER, "code": site.wrong_code(), "clientId": "phone"}
    answer = await site.post("/login", body, **headers)
    assert answer.body == {"code": LoginCode.WRONG_CODE, "message": text, "result": None}


@pytest.mark.parametrize(("header", "text"), [(None, "操作过于频繁"), ("en", "too often")])
async def test_a_code_that_is_refused_is_told_likewise(site: Site, header: str | None, text: str) -> None:
    await site.send_code()
    headers = {"Accept-Language": header} if header else {}
    answer = await site.post("/send_code", {"mobile": NUMBER}, **headers)
    assert (answer.code, answer.body["result"]) == (LoginCode.TOO_OFTEN, None)
    assert text in answer.body["message"]


@pytest.mark.parametrize(("header", "text"), [("zh", "须为"), ("en", "must be")])
async def test_what_is_missing_is_told_likewise(site: Site, header: str, text: str) -> None:
    answer = await site.post("/login", {"mobile": NUMBER}, **{"Accept-Language": header})
    assert answer.status == 400
    assert text in answer.body["message"]
