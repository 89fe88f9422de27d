"""What a token's claims must be (RFC 7519, section 4.1), and the identity that they describe.

Pure functions over claims whose signature holds already. A claim that is there is checked,
also where the standard makes it optional; ``exp`` and ``sub`` must be there.
"""

from __future__ import annotations

import math
from typing import Any, Final

from rtlite.errors import InvalidRequest
from rtlite.model import Identity, Kind, Role, check_pattern, check_user
from rtlite.settings import Settings

MAX_PATTERNS: Final = 128
LAST_SECOND: Final = 253_402_300_799  # of the year 9999, where dates end
_ROLES: Final = frozenset(role.value for role in Role)


def identity(claims: dict[str, Any], settings: Settings, now: float) -> Identity:
    """Whom the claims describe.

    :param now: the wall clock, in seconds since 1970.
    :raises ValueError, InvalidRequest: they do not hold; the text says why and quotes nothing of them.
    """
    user = claims.get("sub")
    if not isinstance(user, str):
        raise ValueError("sub is missing or no text")
    expires = _check_times(claims, settings, now)
    audience = claims.get("aud")
    if settings.jwt_audience and settings.jwt_audience not in (audience if isinstance(audience, list) else [audience]):
        raise ValueError("aud is another")
    if settings.jwt_issuer and claims.get("iss") != settings.jwt_issuer:
        raise ValueError("iss is another")
    role = claims.get("role", Role.USER)
    if not isinstance(role, str) or role not in _ROLES:
        raise ValueError("role is unknown")
    return Identity(
        kind=Kind.JWT,
        user=check_user(user),
        credential=f"jwt:{user}",
        role=Role(role),
        subscribe=patterns("subscribe", claims.get("subscribe", [])),
        publish=patterns("publish", claims.get("publish", [])),
        expires=expires,
    )


def patterns(name: str, value: object) -> tuple[str, ...]:
    """The channel patterns of ``subscribe`` or ``publish``: channels, ``kind:*``, or ``*`` for all.

    :raises InvalidRequest: it is no list of up to 128 of them; the text names it.
    """
    if not isinstance(value, list) or len(value) > MAX_PATTERNS or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"{name}: a list of up to {MAX_PATTERNS} channel patterns is allowed")
    return tuple(item if item == "*" else check_pattern(item) for item in value)


def _check_times(claims: dict[str, Any], settings: Settings, now: float) -> float:
    """``exp``, after a look at it, ``nbf`` and ``iat``; clocks may differ by ``jwt_leeway``."""
    expires = _time(claims, "exp")
    if expires is None or expires > LAST_SECOND:
        raise ValueError("exp is missing, or no date")
    if expires + settings.jwt_leeway <= now:
        raise ValueError("exp has passed")
    if settings.jwt_max_lifetime and expires - now > settings.jwt_max_lifetime + settings.jwt_leeway:
        raise ValueError("exp is further away than jwt_max_lifetime")
    for name in ("nbf", "iat"):
        time = _time(claims, name)
        if time is not None and time > now + settings.jwt_leeway:
            raise ValueError(f"{name} is in the future")
    return expires


def _time(claims: dict[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2): seconds since 1970, fractions allowed; ``None`` if not there."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is no number")
    return float(value)
