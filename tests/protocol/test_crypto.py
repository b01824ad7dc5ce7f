"""The AES layer of tokens and passwords (contract.md sections 3 and 4)."""

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsharechat.protocol import crypto
from fsharechat.protocol.crypto import CryptoError

SECRET = "0123456789abcdefXYZ"
KEY = crypto.key_of(SECRET)

keys = st.binary(min_size=16, max_size=16)
ascii_parts = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="|"), min_size=16)


@given(keys, st.binary(max_size=100))
def test_encryption_round_trip(key: bytes, plaintext: bytes) -> None:
    ciphertext = crypto.encrypt(key, plaintext)
    assert len(ciphertext) == len(plaintext) // 16 * 16 + 16
    assert crypto.decrypt(key, ciphertext) == plaintext


@given(keys, st.binary(max_size=64))
def test_anything_decrypts_or_is_refused(key: bytes, ciphertext: bytes) -> None:
    try:
        plaintext = crypto.decrypt(key, ciphertext)
    except CryptoError:
        return
    assert crypto.encrypt(key, plaintext) == ciphertext


@pytest.mark.parametrize("ciphertext", [b"", b"x", bytes(15), bytes(17)])
def test_only_whole_blocks_decrypt(ciphertext: bytes) -> None:
    with pytest.raises(CryptoError, match="blocks"):
        crypto.decrypt(KEY, ciphertext)


def test_the_wrong_key_is_noticed() -> None:
    with pytest.raises(CryptoError, match="padding"):
        crypto.decrypt(crypto.key_of("another secret, 16"), crypto.encrypt(KEY, b"text"))


def test_a_key_is_the_low_byte_of_sixteen_characters() -> None:
    assert crypto.key_of("ABCDEFGHIJKLMNOPQ") == b"ABCDEFGHIJKLMNOP"
    assert crypto.key_of("\u01c1" * 16) == b"\xc1" * 16
    with pytest.raises(CryptoError, match="16 characters"):
        crypto.key_of("x" * 15)


def test_a_stamp_is_little_endian_with_a_zero_on_top() -> None:
    assert crypto.stamp(0x010203) == b"\x03\x02\x01\x00"
    assert crypto.stamp(0x7F010203) == b"\x03\x02\x01\x00"


def test_hours_count_from_2018(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1514736000 + 2 * 3600 + 3599.9)
    assert crypto.hours_now() == 2


@given(st.binary(min_size=crypto.STAMP_SIZE, max_size=crypto.STAMP_SIZE), st.binary(max_size=60))
def test_whatever_a_stamp_says_it_is_dropped(stamp: bytes, plaintext: bytes) -> None:
    assert crypto.decrypt_stamped(KEY, crypto.encrypt(KEY, stamp + plaintext)) == plaintext


def test_the_stamp_of_now_is_the_default() -> None:
    assert crypto.encrypt_stamped(KEY, b"token") in (
        crypto.encrypt_stamped(KEY, b"token", crypto.hours_now()),
        crypto.encrypt_stamped(KEY, b"token", crypto.hours_now() - 1),  # the hour has changed in between
    )


def test_a_plaintext_without_a_stamp_is_refused() -> None:
    with pytest.raises(CryptoError, match="no stamp"):
        crypto.decrypt_stamped(KEY, crypto.encrypt(KEY, b"abc"))


@given(ascii_parts, ascii_parts, ascii_parts)
def test_login_tokens_open_into_their_parts(user_token: str, secret: str, db_secret: str) -> None:
    token = crypto.login_token(user_token, secret, db_secret)
    assert crypto.open_login_token(token) == (user_token, secret, db_secret)


@pytest.mark.parametrize("text", ["one|two", "one|two|three|four", "ünï|two|three"])
def test_login_tokens_have_three_ascii_parts(text: str) -> None:
    token = base64.b64encode(crypto.encrypt_stamped(crypto.DEFAULT_KEY, text.encode())).decode()
    with pytest.raises(CryptoError, match=r"three parts|ASCII"):
        crypto.open_login_token(token)


@given(st.binary(max_size=60))
def test_connect_passwords_give_the_raw_user_token_back(user_token: bytes) -> None:
    password = crypto.connect_password(base64.b64encode(user_token).decode(), SECRET)
    assert crypto.open_connect_password(password, SECRET) == user_token


@pytest.mark.parametrize("text", ["a", "====", "密码", "AAAA!AAA"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(CryptoError, match="base64"):
        crypto.open_connect_password(text, SECRET)


def test_base64_may_have_line_breaks() -> None:
    assert crypto.b64decode("QUJD\r\nREVG\n") == b"ABCDEF"


@given(st.text())
def test_any_password_opens_or_is_refused(password: str) -> None:
    with pytest.raises(CryptoError):
        crypto.open_connect_password(password, SECRET)


@given(st.text(), st.text(), st.text())
def test_the_token_of_a_bot_opens_into_its_parts(uid: str, client_id: str, login_token: str) -> None:
    token = crypto.bot_token(uid, client_id, login_token)
    assert not set(token) & set(" \n\"'=")
    assert crypto.open_bot_token(f" {token}\n") == (uid, client_id, login_token)


@given(st.text() | st.text().map(lambda rest: crypto.BOT_TOKEN + rest))
def test_any_other_text_is_no_token_of_a_bot(text: str) -> None:
    try:
        parts = crypto.open_bot_token(text)
    except CryptoError:
        return
    assert crypto.open_bot_token(crypto.bot_token(*parts)) == parts
