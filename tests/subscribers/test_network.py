"""As much of a network address as evidence needs."""

import pytest

from mailer.subscribers.network import truncated


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("testclient", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_network_is_kept_instead_of_the_address(address: str | None, kept: str) -> None:
    assert truncated(address) == kept
