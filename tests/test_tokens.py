"""Tokens name one row for one purpose, and nothing else passes for one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.tokens import ALPHABET, WIDTH, Purpose, TokenExpired, TokenInvalid, Tokens

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
KEYS = Tokens(["a secret for the tests of tokens"], permanent="another that never changes at all")
ids = st.integers(1, 2**40 - 1)
purposes = st.sampled_from(list(Purpose))


@given(named=ids, purpose=purposes)
def test_a_token_names_its_row_for_its_purpose(named: int, purpose: Purpose) -> None:
    assert KEYS.read(purpose, KEYS.make(purpose, named), now=NOW) == named


@given(named=ids, purpose=purposes)
def test_every_token_is_as_wide_and_survives_case_folding(named: int, purpose: Purpose) -> None:
    token = KEYS.make(purpose, named)
    assert len(token) == WIDTH
    assert set(token) <= set(ALPHABET)
    assert KEYS.read(purpose, token.upper(), now=NOW) == named


@given(named=ids, made=purposes, read=purposes)
def test_a_token_of_another_purpose_is_invalid(named: int, made: Purpose, read: Purpose) -> None:
    if made is not read:
        with pytest.raises(TokenInvalid):
            KEYS.read(read, KEYS.make(made, named), now=NOW)


@given(named=ids, place=st.integers(0, WIDTH - 1), letter=st.sampled_from(ALPHABET))
def test_a_changed_letter_is_invalid(named: int, place: int, letter: str) -> None:
    token = KEYS.make(Purpose.CONFIRM, named)
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(TokenInvalid):
            KEYS.read(Purpose.CONFIRM, changed, now=NOW)


@given(st.text(max_size=60))
def test_any_other_text_is_invalid(text: str) -> None:
    with pytest.raises(TokenInvalid):
        KEYS.read(Purpose.CONFIRM, text, now=NOW)


def test_a_token_cut_short_is_invalid() -> None:
    with pytest.raises(TokenInvalid, match="not complete"):
        KEYS.read(Purpose.CONFIRM, KEYS.make(Purpose.CONFIRM, 7)[:-1], now=NOW)


def test_a_token_works_until_it_expires_and_says_so_afterwards() -> None:
    token = KEYS.make(Purpose.CONFIRM, 7, expires=NOW + timedelta(hours=72))
    assert KEYS.read(Purpose.CONFIRM, token, now=NOW + timedelta(hours=72)) == 7  # rounded up to the hour
    with pytest.raises(TokenExpired) as expired:
        KEYS.read(Purpose.CONFIRM, token, now=NOW + timedelta(hours=73))
    assert expired.value.named == 7


def test_tokens_of_a_former_secret_are_still_honoured() -> None:
    before, after = Tokens(["x" * 32], permanent="p"), Tokens(["y" * 32, "x" * 32], permanent="p")
    assert after.read(Purpose.UNSUBSCRIBE, before.make(Purpose.UNSUBSCRIBE, 9), now=NOW) == 9
    with pytest.raises(TokenInvalid):
        Tokens(["y" * 32], permanent="p").read(Purpose.UNSUBSCRIBE, before.make(Purpose.UNSUBSCRIBE, 9), now=NOW)


def test_a_message_id_outlives_a_change_of_secrets() -> None:
    before, after = Tokens(["x" * 32], permanent="p"), Tokens(["y" * 32], permanent="p")
    assert before.make(Purpose.MESSAGE_ID, 9) == after.make(Purpose.MESSAGE_ID, 9)


def test_many_tokens_are_the_same_as_one_by_one() -> None:
    assert KEYS.make_many(Purpose.RETURN_PATH, [1, 2, 3]) == [KEYS.make(Purpose.RETURN_PATH, n) for n in (1, 2, 3)]


@pytest.mark.parametrize("named", [0, -1, 2**40])
def test_what_a_token_cannot_name_is_refused(named: int) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        KEYS.make(Purpose.CONFIRM, named)
