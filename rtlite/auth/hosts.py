"""Which names of this server a request may use.

A web page whose own name is made to point here (DNS rebinding) speaks to a server on the
visitor's machine or network as if it were the page's own, past CORS and past the check of
``Origin``: only ``Host`` gives it away, and no page can forge that. The check is on when
the setting ``public_url`` says what the server's name is.
"""

from __future__ import annotations

from ipaddress import ip_address

from rtlite.errors import Misdirected
from rtlite.settings import Settings


class Hosts:
    """The names that ``Host`` may have: that of ``public_url``, and those that only this machine itself has."""

    def __init__(self, settings: Settings) -> None:
        self._ours = _name(settings.public_url.partition("://")[2]) or None

    def check(self, host: str, peer: str) -> None:
        """Any port will do: proxies differ in what they make of it.

        :param host: the header, well formed or empty. :param peer: the client's address, or ``unix``:
            no page reaches a unix socket.
        :raises Misdirected: the request is for another server.
        """
        if self._ours is None or peer == "unix":
            return
        name = _name(host)
        if name != self._ours and not _is_loopback(name):
            raise Misdirected("no server of this name is here (public_url)")


def _name(host: str) -> str:
    """The header without its port, lower case; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
