"""Reading the public keys that verify tokens which someone else signs: a PEM file, or a JWKS (RFC 7517).

Of what a file or an issuer offers, only a public key that fits the one algorithm of the
settings is taken: kind, curve and least size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rtlite.errors import StartError
from rtlite.log import get_logger

log = get_logger(__name__)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey

MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048  # RFC 7518, section 3.3
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1"}


def fits(key: object, algorithm: str) -> bool:
    """Whether ``key`` is a public key of exactly this algorithm's kind, curve and least size."""
    if algorithm.startswith("RS"):
        return isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS
    if algorithm in _CURVES:
        return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
    return algorithm == "EdDSA" and isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)


def read_pem(path: str, algorithm: str) -> PublicKey:
    """The public key in a PEM file. :raises StartError: there is none that fits ``algorithm``."""
    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except OSError as error:
        raise StartError(f"jwt_public_key: cannot read {path}: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StartError(f"jwt_public_key: {path} holds no public key in PEM (BEGIN PUBLIC KEY)") from error
    if not fits(key, algorithm):
        raise StartError(f"jwt_public_key: {path} holds no key for {algorithm}")
    return key  # type: ignore[return-value]  # fits() saw to it


def read_set(text: bytes, algorithm: str) -> dict[str | None, PublicKey]:
    """The usable keys of a JWKS by ``kid``; those of other algorithms and uses are left out.

    :raises ValueError: it is no JWKS, too large, or holds nothing usable; the text says which.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    document = orjson.loads(text)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS: no list called keys")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"more than {MAX_KEYS} keys")
    keys: dict[str | None, PublicKey] = {}
    for entry in entries:
        key = _usable(entry, algorithm)
        if key is not None:
            keys.setdefault(entry.get("kid"), key)
    if not keys:
        raise ValueError(f"no public key for {algorithm}")
    return keys


def _usable(entry: Any, algorithm: str) -> PublicKey | None:
    # Sets are shared by several programs: entries that are not for us are no error (RFC 7517, section 5).
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str | None) or "d" in entry:
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(entry, algorithm=algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError) as error:
        log.debug("a key of the JWKS cannot be read", reason=type(error).__name__)
        return None
    return key if fits(key, algorithm) else None
