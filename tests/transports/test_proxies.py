from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.errors import StartError
from rtlite.transports.proxies import TrustedProxies

OURS = ("10.0.0.0/8", "2001:db8::/32", "unix")


def resolve(peer: str, forwarded: str = "", proto: str = "", trusted: tuple[str, ...] = OURS) -> tuple[str, str]:
    headers = {"x-forwarded-for": forwarded, "x-forwarded-proto": proto}
    return TrustedProxies(trusted).resolve(peer, {name: value for name, value in headers.items() if value}, "http")


@pytest.mark.parametrize("peer", ["192.0.2.1", "11.0.0.1", "2001:db9::1", "unknown", "memory"])
def test_a_stranger_is_itself_whatever_it_claims(peer: str) -> None:
    assert resolve(peer, "203.0.113.7", "https") == (peer, "http")


def test_nobody_is_trusted_by_default() -> None:
    assert resolve("127.0.0.1", "203.0.113.7", "https", ()) == ("127.0.0.1", "http")
    assert resolve("unix", "203.0.113.7", "https", ()) == ("unix", "http")


@pytest.mark.parametrize("peer", ["10.1.2.3", "2001:db8::7", "unix"])
def test_a_trusted_proxy_speaks_for_its_client(peer: str) -> None:
    assert resolve(peer, "203.0.113.7", "https") == ("203.0.113.7", "https")


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),  # what the client itself wrote stands left of it
        ("6.6.6.6, 203.0.113.7, 10.9.9.9", "203.0.113.7"),  # through two of our proxies
        ("10.9.9.9", "10.9.9.9"),
        ("[2001:db9::5]", "2001:db9::5"),
        ("6.6.6.6, rubbish", "10.0.0.1"),
        ("6.6.6.6, unknown, 10.9.9.9", "10.9.9.9"),
        ("", "10.0.0.1"),
        (",,", "10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_no_proxy_of_ours(forwarded: str, address: str) -> None:
    assert resolve("10.0.0.1", forwarded)[0] == address


@pytest.mark.parametrize(
    ("proto", "scheme"), [("https", "https"), ("HTTPS", "https"), ("http, https", "https"), ("ftp", "http")]
)
def test_the_scheme_is_the_last_one_named_if_it_is_one(proto: str, scheme: str) -> None:
    assert resolve("10.0.0.1", proto=proto)[1] == scheme


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-f.:,\[\] ]{0,40}", fullmatch=True), st.text(max_size=10))
def test_any_header_gives_an_address_and_a_scheme(forwarded: str, proto: str) -> None:
    address, scheme = resolve("10.0.0.1", forwarded, proto)
    assert str(ip_address(address)) == address
    assert scheme in {"http", "https"}
    assert resolve("192.0.2.1", forwarded, proto) == ("192.0.2.1", "http"), "a stranger's headers count for nothing"


def test_a_network_that_is_none_cannot_be_trusted() -> None:
    with pytest.raises(StartError, match="trusted_proxy"):
        TrustedProxies(["10.0.0.0/99"])
