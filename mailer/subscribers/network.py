"""As much of a reader's network address as evidence needs, and no more."""

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address


def truncated(address: str | None) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; "" where none is known."""
    parsed = read(address or "")
    if parsed is None:
        return ""
    if isinstance(parsed, IPv4Address):
        return "{}.{}.{}.0/24".format(*parsed.packed)
    return str(ipaddress.ip_network((parsed, 48), strict=False))


def read(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `text`, which may name its zone (RFC 4007 §11) and a port, as some proxies write it
    (`192.0.2.7:443`, `[2001:db8::7]:443`); an IPv4-mapped one (RFC 4291 §2.5.5.2) as IPv4. None where there is none."""
    found = _WITH_PORT.fullmatch(text.strip())
    bare = (found[1] or found[2]) if found else text.strip()
    try:
        parsed = ipaddress.ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(parsed, IPv6Address) and parsed.ipv4_mapped) or parsed


_WITH_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]*)?", re.ASCII)
