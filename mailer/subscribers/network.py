"""As much of a reader's network address as evidence needs, and no more."""

import ipaddress


def truncated(address: str | None) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; "" where none is known."""
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if isinstance(parsed, ipaddress.IPv4Address):
        return "{}.{}.{}.0/24".format(*parsed.packed)
    return str(ipaddress.ip_network((parsed, 48), strict=False))
