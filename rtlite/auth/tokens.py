"""JWTs (RFC 7519), under our own policy (RFC 8725).

PyJWT checks signatures, and that only: it is told one algorithm, which the settings fix, so
that a token's header cannot choose another. Every claim is checked by :mod:`rtlite.auth.claims`:
PyJWT's defaults accept a token without ``exp``, or with ``exp`` as text or in 31 years.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import jwt
import orjson

from rtlite.auth import claims
from rtlite.auth.jwks import KeySet
from rtlite.auth.public_keys import PublicKey, read_pem
from rtlite.errors import Conflict, InvalidRequest, StartError, Unauthorized
from rtlite.model import Identity, Role, check_user
from rtlite.settings import Settings, duration_text

if TYPE_CHECKING:
    import httpx

MAX_TOKEN: Final = 8 * 1024  # bytes
INVALID: Final = "the credential is not valid"
# RFC 7518, section 3.2: a secret at least as long as the hash. In bytes.
_LEAST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_OPTIONS: Final[Any] = {"verify_signature": True, "enforce_minimum_key_length": True}


class NoGuess(Unauthorized):
    """What is shown does not hold (any more), but nobody came by it by guessing."""


class Tokens:
    """Verifies tokens, and signs them if the algorithm is an HMAC.

    :param secret: the HMAC secret; not read with RS*, ES* and EdDSA.
    :param now: the wall clock, in seconds since 1970.
    :param transport: for tests: how httpx reaches a JWKS URL.
    :raises StartError: the secret is too short, or the public keys are missing or do not fit.
    """

    def __init__(
        self,
        settings: Settings,
        secret: str,
        now: Callable[[], float] = time.time,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._now = now
        self._algorithm = settings.jwt_algorithm
        self._jws = jwt.PyJWS(algorithms=[self._algorithm])
        self._keys: KeySet | None = None
        self._key: bytes | PublicKey | None = None
        self.outdated: Callable[[str, float | None], bool] | None = None
        """Whether a user's token, by when it was issued, has expired before its time; while a fault says so."""
        given = [name for name in ("jwt_public_key", "jwt_jwks") if getattr(settings, name)]
        if self._algorithm in _LEAST_SECRET:
            if given:
                raise StartError(f"{given[0]}: jwt_algorithm {self._algorithm} uses a secret, not a public key")
            self._key = self._checked_secret(secret)
        elif len(given) != 1:
            raise StartError(f"jwt_algorithm {self._algorithm} needs jwt_public_key or jwt_jwks, one of them")
        elif settings.jwt_jwks:
            self._keys = KeySet(settings.jwt_jwks, self._algorithm, transport)
        else:
            self._key = read_pem(settings.jwt_public_key, self._algorithm)

    def verify(self, token: str) -> Identity:
        """Whom the token stands for. Its ``expires`` is ``exp``, though ``jwt_leeway`` more is accepted here.

        ``aud`` and ``iss`` must match when the settings name one; when they name none, any is
        accepted, since a token's audience is then nothing that we could compare.

        :raises Unauthorized: it does not hold; why is in ``__cause__`` for the log, and not in the text.
        :raises NoGuess: the same, though its signature is good.
        """
        try:
            decoded = self._decoded(token)
        except jwt.PyJWTError as error:
            raise Unauthorized(INVALID) from ValueError(_in_words(error))
        except ValueError as error:
            raise Unauthorized(INVALID) from error
        try:
            identity = claims.identity(decoded, self._settings, self._now())
            if self.outdated is not None and self.outdated(identity.user, decoded.get("iat")):
                raise ValueError("expired by a fault")
            return identity
        except (ValueError, InvalidRequest) as error:
            raise NoGuess(INVALID) from error

    def sign(
        self,
        user: str,
        role: Role = Role.USER,
        ttl: float = 3600.0,
        subscribe: Sequence[str] = (),
        publish: Sequence[str] = (),
    ) -> str:
        """A token for ``user`` that holds ``ttl`` seconds, with the channel patterns it may use besides.

        :raises InvalidRequest: the text names the argument.
        :raises Conflict: the server has public keys only; tokens are signed elsewhere.
        """
        if not isinstance(self._key, bytes):
            raise Conflict(f"tokens are signed elsewhere: jwt_algorithm is {self._algorithm}", code="signed_elsewhere")
        longest = self._settings.jwt_max_lifetime or claims.LAST_SECOND - self._now()
        if not 1 <= ttl <= longest:
            limit = self._settings.jwt_max_lifetime
            most = f"{duration_text(limit)} (jwt_max_lifetime)" if limit else "the year 9999"
            raise InvalidRequest(f"ttl: from 1s up to {most} is allowed")
        now = self._now()
        made: dict[str, Any] = {
            "sub": check_user(user),
            "iat": int(now) if self.outdated is None else now,  # to the second, one would be as old as the fault
            "exp": int(now + ttl),
            "role": Role(role).value,
            "subscribe": claims.patterns("subscribe", list(subscribe)),
            "publish": claims.patterns("publish", list(publish)),
            "aud": self._settings.jwt_audience,
            "iss": self._settings.jwt_issuer,
        }
        payload = orjson.dumps({name: claim for name, claim in made.items() if claim})
        token = self._jws.encode(payload, self._key, algorithm=self._algorithm)
        if len(token) > MAX_TOKEN:
            raise InvalidRequest("subscribe, publish: too many patterns for one token")
        return token

    async def refresh(self) -> None:
        """Fetch the JWKS if that is due: at the start, hourly, and after an unknown ``kid`` (once in 5 minutes).

        Call it at the start and then every few seconds; it costs nothing unless it is due, and never fails.
        """
        if self._keys is not None:
            await self._keys.refresh()

    def _checked_secret(self, secret: str) -> bytes:
        key = secret.encode("utf-8", "surrogatepass")
        least = _LEAST_SECRET[self._algorithm]
        if len(key) < least:
            raise StartError(f"jwt_secret: {self._algorithm} needs {least} bytes or more")
        try:
            self._jws.get_algorithm_by_name(self._algorithm).prepare_key(key)
        except jwt.InvalidKeyError as error:
            raise StartError("jwt_secret: this is a public or private key, not a secret") from error
        return key

    def _decoded(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise ValueError("too long, or not ASCII")
        key = self._key
        if self._keys is not None:
            key = self._keys.find(self._jws.get_unverified_header(token).get("kid"))
        if key is None:
            raise ValueError("no key for this kid")
        decoded = self._jws.decode_complete(token, key, algorithms=[self._algorithm], options=_OPTIONS)
        if "crit" in decoded["header"]:
            raise ValueError("crit: no extension is known here")  # RFC 7515, section 4.1.11
        try:
            found = orjson.loads(decoded["payload"])
        except orjson.JSONDecodeError as error:
            raise ValueError("the claims are no JSON") from error
        if not isinstance(found, dict):
            raise ValueError("the claims are no object")
        return found


def _in_words(error: jwt.PyJWTError) -> str:
    """What is wrong with a token that PyJWT refuses, without its text, which may quote the token."""
    match error:
        case jwt.InvalidSignatureError():
            return "the signature does not match"
        case jwt.InvalidAlgorithmError():
            return "alg is not jwt_algorithm"
        case jwt.DecodeError():
            return "it is neither a key nor a JWT"
    return type(error).__name__
