"""Which web pages may connect.

A browser sends the page's origin with every WebSocket handshake and every cross-origin
request, and lets no page forge it; so checking it keeps a stranger's page from using a
visitor's credentials or network position (cross-site WebSocket hijacking, OWASP WebSocket
Security Cheat Sheet). Who sends no ``Origin`` is no browser and could send any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from rtlite.auth.hosts import is_loopback
from rtlite.errors import Forbidden
from rtlite.settings import Settings

# An origin as browsers serialise it (RFC 6454, section 6.2): no path, no user, no slash at the end.
_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.\-]*)://(\[[0-9a-f:.]+\]|[^\s\[\]/:@?#\\]+)(?::([0-9]{1,5}))?", re.IGNORECASE | re.ASCII
)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_PAGE_SCHEME: Final = {"ws": "http", "wss": "https"}
_OTHER_SITES: Final = frozenset({"cross-site", "same-site"})  # of Sec-Fetch-Site; a site may have many origins

Origin = tuple[str, str, int | None]


def parse(origin: str) -> Origin | None:
    """Scheme, host and port of an origin, lower case, the default port filled in; ``None`` if it is none.

    A trailing dot stays: ``example.com.`` is another host than ``example.com`` to a browser.
    """
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    scheme = match[1].lower()
    return scheme, match[2].lower(), int(match[3]) if match[3] else _DEFAULT_PORT.get(scheme)


def allowed(origin: str | None, host: str | None, scheme: str, settings: Settings) -> bool:
    """Whether the page that sends this request may.

    :param origin: the ``Origin`` header; :param host: the ``Host`` header.
    :param scheme: how the client reached us: ``http``, ``https``, ``ws`` or ``wss``.
    """
    if origin is None or settings.dev:
        return True
    return _is_our_own(origin, host, scheme) or _is_public(origin, settings) or _listed(origin, settings)


def from_our_page(headers: Mapping[str, str], scheme: str, settings: Settings, *, method: str = "GET") -> bool:
    """Whether a page of this very server makes this request, as its browser says: for what comes with a cookie.

    ``Sec-Fetch-Site`` says it of every request (Fetch Metadata), but only over TLS and on loopback. ``Origin``
    says it of requests that may change something, and of those of other origins' scripts. Where both are
    missing it is a read by our own page, or a link, an image or the like anywhere, or no browser.

    :param headers: by lower-case names; :param scheme: how the client reached us.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    reading = method in {"GET", "HEAD"}
    if site is not None and site != "same-origin" and not (site == "none" and reading):  # "none": its user typed it
        return False
    if origin is not None:
        return _is_our_own(origin, headers.get("host"), scheme) or _is_public(origin, settings)
    return site is not None or reading


def from_elsewhere(headers: Mapping[str, str], settings: Settings) -> bool:
    """Whether a page that is neither ours nor listed makes this request, nor, with ``--dev``, one of this machine.

    Images, links and the like come without an ``Origin``; where they come from, ``Sec-Fetch-Site`` says.

    :param headers: by lower-case names.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") in _OTHER_SITES
    host = headers.get("host")
    return not (
        any(_is_our_own(origin, host, scheme) for scheme in ("http", "https"))
        or _is_public(origin, settings)
        or _listed(origin, settings)
        or (settings.dev and _is_of_this_machine(origin))
    )


def check_operator(headers: Mapping[str, str], settings: Settings) -> None:
    """With ``--dev`` every page knows the operator's key: strangers' pages have no use for it.

    Of their images and links, which have no ``Origin``, none changes or reads anything.

    :raises Forbidden: this is the page of a stranger.
    """
    if settings.dev and "origin" in headers and from_elsewhere(headers, settings):
        raise Forbidden("with --dev the operator's rights are for pages of this machine", code="origin_not_allowed")


def cors_headers(origin: str | None, settings: Settings, *, public: bool = False) -> dict[str, str]:
    """The headers that let a page of another origin read the answer (Fetch standard, section 3.2).

    Never ``Access-Control-Allow-Credentials``: the one cookie of ours is for our own pages, and so
    ``*`` gives a page nothing but what it can already prove to know.

    :param public: the resource is for anyone, as descriptions and docs are.
    """
    if public or settings.dev:
        return {"Access-Control-Allow-Origin": "*"}
    # Caches keep the answers to different origins apart, the one without the header too.
    headers = {"Vary": "Origin"}
    if origin is not None and _listed(origin, settings):
        headers["Access-Control-Allow-Origin"] = "*" if "*" in settings.allowed_origins else origin
    return headers


def _listed(origin: str, settings: Settings) -> bool:
    if origin in settings.allowed_origins:
        return origin != "*"  # no browser sends that
    # "null" is the origin of every sandboxed frame and local file at once; "*" does not mean it.
    if origin == "null":
        return False
    parsed = parse(origin)
    return parsed is not None and any(entry == "*" or parse(entry) == parsed for entry in settings.allowed_origins)


def _is_public(origin: str, settings: Settings) -> bool:
    """Also where a proxy speaks TLS for us and does not say so."""
    return bool(settings.public_url) and parse(origin) == parse(settings.public_url)


def _is_of_this_machine(origin: str) -> bool:
    parsed = parse(origin)
    return parsed is not None and is_loopback(parsed[1])


def _is_our_own(origin: str, host: str | None, scheme: str) -> bool:
    ours = parse(f"{_PAGE_SCHEME.get(scheme, scheme)}://{host}") if host else None
    return ours is not None and parse(origin) == ours
