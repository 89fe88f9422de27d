"""Who a request comes from, when it comes through a proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from rtlite.errors import StartError


class TrustedProxies:
    """Whose X-Forwarded-For and X-Forwarded-Proto count."""

    def __init__(self, names: Sequence[str]) -> None:
        self._unix = "unix" in names
        try:
            self._networks = [ip_network(name, strict=False) for name in names if name != "unix"]
        except ValueError as error:
            raise StartError(f"trusted_proxy: {error}") from error

    def trusts(self, address: str) -> bool:
        if address == "unix":
            return self._unix
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)

    def resolve(self, peer: str, headers: Mapping[str, str], scheme: str) -> tuple[str, str]:
        """The client's address and scheme: the right-most address that is no proxy of ours."""
        if not (self._networks or self._unix) or not self.trusts(peer):
            return peer, scheme
        address = peer
        for hop in reversed([item.strip() for item in headers.get("x-forwarded-for", "").split(",")]):
            try:
                address = str(ip_address(hop.strip("[]")))
            except ValueError:
                break
            if not self.trusts(address):
                break
        forwarded = headers.get("x-forwarded-proto", "").split(",")[-1].strip().lower()
        return address, forwarded if forwarded in {"http", "https"} else scheme
