"""As much of a network address as evidence needs."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.subscribers.network import read, truncated


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("203.0.113.77:51324", "203.0.113.0/24"),
        (" [2001:db8:1::7]:443 ", "2001:db8:1::/48"),
        ("[2001:db8:1::7]", "2001:db8:1::/48"),
        ("[::ffff:203.0.113.77]:443", "203.0.113.0/24"),
        ("[fe80::1%eth0]:443", "fe80::/48"),
        ("203.0.113.77:http", ""),
        ("203.0.113.77 203.0.113.78", ""),
        ("[2001:db8::7", ""),
        ("testclient", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_network_is_kept_instead_of_the_address(address: str | None, kept: str) -> None:
    assert truncated(address) == kept


@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_port_and_a_mapping_change_nothing(address: IPv4Address | IPv6Address, port: int) -> None:
    if isinstance(address, IPv4Address):
        spellings = [f"{address}:{port}", f"::ffff:{address}", f"[::ffff:{address}]:{port}"]
    else:
        spellings = [f"[{address}]", f"[{address}]:{port}", address.exploded]
    assert {truncated(each) for each in spellings} == {truncated(str(address))} != {""}


@given(st.text() | st.text("0123456789abcdef.:[]%", max_size=50))
def test_any_text_is_an_address_or_none(text: str) -> None:
    assert (read(text) is None) == (truncated(text) == "")
