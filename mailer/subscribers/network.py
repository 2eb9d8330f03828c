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
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
