"""Mobile numbers and e-mail addresses in the one form that is kept."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fsharechat.login_numbers import abroad, names_of, normal_invitee, normal_number

MAINLAND = st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True)
OTHERS = st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True).filter(lambda digits: not digits.startswith("86"))
ADDRESSES = st.from_regex(r"[A-Za-z0-9._+-]{1,20}@([a-z0-9]{1,9}\.){1,2}[A-Za-z]{2,5}", fullmatch=True)
SPACE = st.sampled_from(["", " ", "\t", "\n"])


@given(MAINLAND, st.sampled_from(["", "+86", "0086"]), SPACE, SPACE)
def test_a_mainland_number_has_one_form_however_it_is_written(
    number: str, code: str, before: str, after: str
) -> None:
    assert normal_number(f"{before}{code}{number}{after}") == number
    assert not abroad(number)


@given(OTHERS, st.sampled_from(["+", "00"]), SPACE)
def test_a_number_of_another_country_is_kept_as_in_e164(digits: str, plus: str, space: str) -> None:
    found = normal_number(f"{plus}{digits}{space}")
    assert found == f"+{digits}"
    assert abroad(found)


@given(ADDRESSES)
@example("+4915112345678@example.org")
def test_an_address_is_kept_in_lower_case(address: str) -> None:
    assert normal_number(address) == address.lower()
    assert not abroad(address.lower())
    name, domain = names_of(address.lower())
    assert (name, normal_invitee(domain)) == (address.lower(), domain)


@given(st.one_of(st.text(), st.from_regex(r"[+0]{0,3}[0-9]{0,20}", fullmatch=True), MAINLAND, ADDRESSES))
def test_what_is_kept_stays_as_it_is(text: str) -> None:
    found = normal_number(text)
    if found is not None:
        assert normal_number(found) == found
        assert normal_invitee(found) == found
        assert "@" in found or not found.startswith(("00", "+86", "+0"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "+", "00", "+0151123456", "000151123456", "+123456", "+1234567890123456", "4915112345678"),
        *("12812345678", "+8612812345678", "+86138123456780", "008602112345678", "+49 151 12345678"),
        *(
            "++4915112345678",
            "+00491511234567",
            "+４９１５１１２３４５６",
            "+4915112345678x",
            None,
            13812345678,
        ),
    ],
)
def test_what_is_no_number_is_refused(text: object) -> None:
    assert normal_number(text) is None
