"""Which addresses a webhook may reach, so that nobody makes this server call its own network (SSRF).

The list is our own: ``ipaddress.is_global`` says yes to ``64:ff9b::7f00:1``, ``::127.0.0.1`` and multicast,
and in Python 3.11 to ``2002:7f00:1::``, behind each of which loopback may stand.
Source: the IANA special-purpose address registries (RFC 6890).
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

_PRIVATE: Final = tuple(
    map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
)
_PRIVATE_6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
# Never, not even by setting: here the cloud's metadata stand, or many at once, or nobody.
_NEVER: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; the system takes it for loopback
            "169.254.0.0/16",  # link-local
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
# Of IPv6 all that is given out is in here; so ::ffff:0:0/96, ::/96, 64:ff9b::/96, fe80::/10 and ff00::/8 are not.
_GIVEN_OUT: Final = IPv6Network("2000::/3")
_NEVER_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: any IPv4 address inside
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
        ),
    )
)


def may_reach(address: Address, *, private: bool) -> bool:
    """Whether a webhook may connect to ``address``.

    :param private: loopback and private networks are allowed as well.
    """
    if isinstance(address, IPv4Address):
        if any(address in network for network in _PRIVATE):
            return private
        return not any(address in network for network in _NEVER)
    if any(address in network for network in _PRIVATE_6):
        return private
    return address in _GIVEN_OUT and not any(address in network for network in _NEVER_6)


def literal(host: str) -> Address | None:
    """The address that a host's name is by itself, in any spelling that the system takes; ``None`` for a real name.

    ``127.1``, ``0x7f.1``, ``017700000001`` and ``2130706433`` are all 127.0.0.1.
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(host)
    except ValueError:
        if not re.fullmatch(r"[0-9a-fx.]+", host):
            return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
