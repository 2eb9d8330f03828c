"""Addresses: what is taken, what is refused, and that nothing taken can harm a header or an SMTP command."""

import unicodedata
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailer.subscribers import address as addresses
from mailer.subscribers.address import AddressError, hash, parse, same

KEY = "an-address-key-for-tests-0123456789"
LOCAL = st.text("abcdefghijklmnopqrstuvwxyzабвгдежзіўё0123456789", min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("typed", "text", "wire", "domain"),
    [
        ("anna@example.org", "anna@example.org", "anna@example.org", "example.org"),
        ("  Anna.K+news@Example.ORG\n", "Anna.K+news@example.org", "Anna.K+news@example.org", "example.org"),
        ("anna@пошта.бел", "anna@пошта.бел", "anna@xn--80a1acn3a.xn--90ais", "xn--80a1acn3a.xn--90ais"),
        ("ганна@example.org", "ганна@example.org", None, "example.org"),
        ("anna@ｅｘａｍｐｌｅ.org", "anna@example.org", "anna@example.org", "example.org"),
    ],
)
def test_an_address_is_normalised(typed: str, text: str, wire: str | None, domain: str) -> None:
    address = parse(typed)
    assert (address.text, address.ascii, address.domain) == (text, wire, domain)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "anna",
        "anna@",
        "@example.org",
        "anna@localhost",
        "anna@example",
        "anna@[192.0.2.1]",
        '"anna k"@example.org',
        "Anna <anna@example.org>",
        "anna@example.org, boris@example.org",
        "anna @example.org",
        "an\u00adna@example.org",
        "anna@exam\u200bple.org",
        "anna@example.org\r\nBcc: boris@example.org",
        "anna\0@example.org",
        "=?utf-8?q?anna?=@example.org",
        "a" * 65 + "@example.org",
        "\ud800@example.org",
    ],
)
def test_what_is_not_one_plain_address_is_refused(typed: str) -> None:
    with pytest.raises(AddressError):
        parse(typed)


@given(st.one_of(st.text(st.characters()), st.builds("{}@{}".format, st.text(st.characters()), st.text())))
def test_any_text_is_either_refused_or_safe_to_send(typed: str) -> None:
    try:
        address = parse(typed)
    except AddressError:
        return
    for form in (address.text, address.ascii or ""):
        assert not any(char.isspace() or char in '<>"(),;:\\[]' for char in form)
        assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in form)
    assert address.domain.isascii()
    assert parse(address.text) == address


@given(LOCAL)
def test_the_hash_knows_an_address_in_any_case(local: str) -> None:
    spellings = (f"{local}@example.org", f"{local.upper()}@EXAMPLE.org", f"{local.title()}@Example.Org")
    assert len({hash(parse(spelling), KEY) for spelling in spellings}) == 1


GREEK = "αβγδοσςωΑΒΓΔΟΣΩ"


@given(st.text(GREEK + ".aZ", min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_a_sigma_is_one_letter_wherever_it_stands_in_a_name(local: str, any_case: Random) -> None:
    spelling = "".join(any_case.choice([each, each.lower(), each.upper()]) for each in local)
    try:
        one, other = parse(f"{local}@example.org"), parse(f"{spelling}@example.org")
    except AddressError:
        assume(False)
    assert hash(one, KEY) == hash(other, KEY)
    assert same(one.text, other.text)


def test_the_hash_tells_addresses_and_keys_apart() -> None:
    anna = parse("anna@example.org")
    assert hash(anna, KEY) != hash(parse("hanna@example.org"), KEY)
    assert hash(anna, KEY) != hash(anna, KEY + "!")
    assert len(hash(anna, KEY)) == 64


LABEL = st.text("абвгдежзіўёαβγδσςßüéłø中文אב", min_size=1, max_size=12)


@given(LOCAL, st.lists(LABEL, min_size=1, max_size=3), st.sampled_from(["бел", "рф", "org"]), st.booleans())
def test_a_domain_may_be_typed_as_the_labels_that_mail_writes(
    local: str, labels: list[str], top: str, in_capitals: bool
) -> None:
    try:
        address = parse(".".join([f"{local}@{labels[0]}", *labels[1:], top]))
    except AddressError:  # such as a label in two directions
        assume(False)
    typed = f"{local}@{address.domain.upper() if in_capitals else address.domain}"
    assert parse(typed) == address
    assert hash(parse(typed), KEY) == hash(address, KEY)
    assert same(typed, address.text)


@pytest.mark.parametrize(
    "typed", ["anna@xn--80a-0000000.org", "anna@xn--a.example", "anna@xn--swi-hia.example", "anna@ⓧn--e1afmkfd.рф"]
)
def test_labels_that_no_domain_has_are_refused(typed: str) -> None:
    with pytest.raises(AddressError):
        parse(typed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("anna@swiß.example", "anna@swiss.example"),
        ("anna@κόσμος.gr", "anna@κόσμοσ.gr"),
        ("strauß@example.org", "strauss@example.org"),
        ("ﬁnn@example.org", "finn@example.org"),
    ],
)
def test_two_mailboxes_are_not_one_because_letters_look_alike(one: str, other: str) -> None:
    assert hash(parse(one), KEY) != hash(parse(other), KEY)
    assert not same(one, other)


@given(
    st.from_regex(r"\A[\w!#$%&'*+/=?^`{|}~.\" -]{0,70}@?[a-zA-Z0-9.-]{0,80}\Z", fullmatch=True)
    | st.tuples(
        st.text("aB.+-_'=?", max_size=66),
        st.sampled_from(["Example.org", "xn--e1afmkfd.org", "local", "a..b", "ab--c.org"]),
    ).map("@".join)
)
def test_the_short_way_says_what_the_long_way_says(text: str) -> None:
    def said(text: str) -> object:
        try:
            return parse(text)
        except AddressError as error:
            return str(error)

    short = said(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "_plain", lambda bare: None)
        assert said(text) == short
