"""TokenSigner: a token is of one device, one user and this deployment (docs/decisions/tokens.md)."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roles.group.tokens import NewSecrets, TokenSigner, is_of_original
from tools.testing.original import user_token

NOW = 1_700_000_000_000
SIGNER = TokenSigner(b"k" * 32)


def issued(uid: str = "ann", client: str = "phone") -> bytes:
    return base64.b64decode(SIGNER.issue(uid, client, NOW), validate=True)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, (1 << 64) - 1))
@settings(deadline=None)
def test_a_token_tells_when_it_was_issued(uid: str, client: str, now: int) -> None:
    token = base64.b64decode(SIGNER.issue(uid, client, now))
    assert SIGNER.issued_at(token, uid, client) == now


@pytest.mark.parametrize(
    ("uid", "client"),
    [("bob", "phone"), ("ann", "tablet"), ("annp", "hone"), ("an", "nphone"), ("", "annphone"), ("ann", "")],
)
def test_a_token_is_of_one_user_and_one_device(uid: str, client: str) -> None:
    assert SIGNER.issued_at(issued(), uid, client) is None


def test_every_altered_bit_shows() -> None:
    token = issued()
    for bit in range(len(token) * 8):
        altered = bytearray(token)
        altered[bit // 8] ^= 1 << bit % 8
        assert SIGNER.issued_at(bytes(altered), "ann", "phone") is None


@given(st.binary(max_size=80))
@settings(deadline=None)
def test_other_bytes_are_no_token(token: bytes) -> None:
    assert SIGNER.issued_at(token, "ann", "phone") is None


def test_a_shorter_or_longer_token_is_none() -> None:
    for token in (issued()[:-1], issued() + b"\0", b""):
        assert SIGNER.issued_at(token, "ann", "phone") is None


def test_another_key_signs_otherwise() -> None:
    other = TokenSigner(b"l" * 32)
    assert other.issued_at(issued(), "ann", "phone") is None
    assert other.digest("login code", "text") != SIGNER.digest("login code", "text")


def test_two_tokens_of_one_moment_differ() -> None:
    assert issued() != issued()


def test_digests_are_of_purpose_and_text() -> None:
    digests = {SIGNER.digest(*texts) for texts in (("a", "bc"), ("ab", "c"), ("a", "b"), ("user_token", "a"))}
    assert len(digests) == 4
    assert SIGNER.digest("a", "bc") in digests


def test_new_secrets_are_as_the_contract_wants_them() -> None:
    made = [NewSecrets.make() for _ in range(50)]
    texts = [text for pair in made for text in pair]
    assert len(set(texts)) == len(texts)
    assert all(len(text) >= 16 and text.isascii() and "|" not in text for text in texts)


def test_a_token_of_the_original_is_of_one_user() -> None:
    token = base64.b64decode(user_token("ann", NOW))
    assert is_of_original(token, "ann")
    assert not is_of_original(token, "ben")
    assert not is_of_original(issued(), "ann")


@given(st.binary(max_size=64))
@settings(deadline=None)
def test_what_is_no_token_of_the_original_is_refused(token: bytes) -> None:
    assert not is_of_original(token, "ann")
