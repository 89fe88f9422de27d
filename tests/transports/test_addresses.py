"""Where a webhook may go: the attack list of the security checklist, line 50, and more."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from rtlite.transports.addresses import literal, may_reach

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "100.64.0.1", "100.127.255.255", "::1", "fc00::1", "fdff::1",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fe80::1",
    "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
    "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "223.255.255.255",
    "2606:4700:4700::1111", "2a00::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert may_reach(ip_address(address), private=False)
    assert may_reach(ip_address(address), private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_only_where_the_setting_allows_it(address: str) -> None:
    assert not may_reach(ip_address(address), private=False)
    assert may_reach(ip_address(address), private=True)


@pytest.mark.parametrize("address", NEVER)
def test_metadata_multicast_and_addresses_with_others_inside_may_never_be_reached(address: str) -> None:
    assert not may_reach(ip_address(address), private=False)
    assert not may_reach(ip_address(address), private=True)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0X7F000001", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("0", "0.0.0.0"),
        ("127.0.0.1.", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("LOCALHOST.", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("::1", "::1"),
    ],
)
def test_an_address_in_any_spelling_is_one(host: str, address: str) -> None:
    assert literal(host) == ip_address(address)


@pytest.mark.parametrize("host", ["example.com", "localhost.example", "fa.de", "x", "1.2.3.4.example", "1.2.3.4.5"])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None
