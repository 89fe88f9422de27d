"""Which names of this server a request may use.

A web page whose own name is made to point here (DNS rebinding) speaks to a server on the
visitor's machine or network as if it were the page's own, past CORS and past the check of
``Origin``: only ``Host`` gives it away, and no page can forge that. The check is on when
the setting ``public_url`` says what the server's name is, and with ``--dev`` on loopback, whose
credentials every page knows.
"""

from __future__ import annotations

from ipaddress import ip_address

from rtlite.errors import Misdirected
from rtlite.settings import Settings


class Hosts:
    """The names that ``Host`` may have: that of ``public_url``, and those that only this machine itself has."""

    def __init__(self, settings: Settings) -> None:
        self._ours = _name(settings.public_url.partition("://")[2]) or None
        self._checked = checked(settings)

    def check(self, host: str, peer: str) -> None:
        """Any port will do: proxies differ in what they make of it.

        :param host: the header, well formed or empty. :param peer: the client's address, or ``unix``:
            no page reaches a unix socket.
        :raises Misdirected: the request is for another server.
        """
        if not self._checked or peer == "unix":
            return
        if _name(host) != self._ours and not is_loopback(host):
            raise Misdirected("no server of this name is here (public_url)")


def checked(settings: Settings) -> bool:
    """Whether ``Host`` is looked at. Beyond loopback, ``--dev`` may have any name: a container's, say."""
    return bool(settings.public_url) or (settings.dev and settings.loopback)


def is_loopback(host: str) -> bool:
    """Whether this host, with or without a port, is the machine that asks (names: RFC 6761, section 6.3)."""
    name = _name(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _name(host: str) -> str:
    """The header without its port, lower case; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
