import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth import public_keys
from rtlite.auth.public_keys import fits, read_pem, read_set
from rtlite.errors import StartError

RSA = rsa.generate_private_key(65537, 2048)
WEAK = rsa.generate_private_key(65537, 1024)  # to be refused
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key, kid=None, **more):
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = jwt.algorithms.RSAAlgorithm
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        algorithm = jwt.algorithms.ECAlgorithm
    else:
        algorithm = jwt.algorithms.OKPAlgorithm
    entry = {**algorithm.to_jwk(key.public_key(), as_dict=True), **more}
    entry.pop("key_ops", None)
    return entry if kid is None else {**entry, "kid": kid}


def jwks(*entries):
    return json.dumps({"keys": entries}).encode()


@pytest.mark.parametrize(
    ("key", "algorithms"),
    [
        (RSA, {"RS256", "RS384", "RS512"}),
        (WEAK, set()),
        (P256, {"ES256"}),
        (P384, {"ES384"}),
        (ed25519.Ed25519PrivateKey.generate(), {"EdDSA"}),
        (ed448.Ed448PrivateKey.generate(), {"EdDSA"}),
    ],
)
def test_a_key_fits_exactly_its_own_algorithms(key, algorithms):
    every = ["HS256", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA", "none"]
    assert {name for name in every if fits(key.public_key(), name)} == algorithms
    assert not any(fits(key, name) for name in every)  # a private key never does


def test_a_public_key_is_read_from_its_pem_file(tmp_path):
    file = tmp_path / "key.pem"
    file.write_bytes(pem(P256))
    assert read_pem(str(file), "ES256") == P256.public_key()


def test_a_pem_file_that_does_not_fit_is_named(tmp_path):
    private = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "key.pem"
    for content, text in ((pem(P384), "no key for ES256"), (private, "no public key"), (b"secret", "no public key")):
        file.write_bytes(content)
        with pytest.raises(StartError, match=text):
            read_pem(str(file), "ES256")
    with pytest.raises(StartError, match="cannot read"):
        read_pem(str(tmp_path / "none.pem"), "ES256")


def test_a_set_gives_its_keys_by_kid_and_leaves_out_those_that_are_not_for_us():
    text = jwks(
        jwk(P256, "one", use="sig", alg="ES256"),
        jwk(ED, "ed"),
        jwk(P384, "wrong curve"),
        jwk(RSA, "rsa"),
        jwk(P256, "encrypts", use="enc"),
        jwk(P256, "other algorithm", alg="ES384"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "EC", "kid": "broken"},
        {"kty": "RSA", "n": 1, "e": [], "kid": "broken"},
        {**jwk(P256, "private"), "d": "AAAA"},
        jwk(P256) | {"kid": 7},
        "no key",
        None,
    )
    assert read_set(text, "ES256") == {"one": P256.public_key()}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "unexpected|zero-length"),
        (b"[]", "no list"),
        (b'{"keys": {}}', "no list"),
        (jwks(), "no public key"),
        (jwks(jwk(P384)), "no public key"),
        (jwks(*[jwk(P256, str(number)) for number in range(101)]), "more than 100"),
        (b" " * (256 * 1024) + jwks(jwk(P256)), "larger"),
        (b"[" * 100_000, "depth"),
    ],
)
def test_what_is_no_usable_set_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_set(text, "ES256")


members = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg", "k", "key_ops"])
values = st.sampled_from(["EC", "RSA", "OKP", "oct", "P-256", "Ed25519", "AQAB", "é", ""]) | st.integers() | st.none()


@given(
    st.lists(st.dictionaries(members, values | st.text() | st.lists(values))),
    st.sampled_from(["RS256", "ES256", "EdDSA"]),
)
def test_no_entry_however_broken_breaks_the_reading_of_a_set(entries, algorithm):
    good = {"RS256": RSA, "ES256": P256, "EdDSA": ED}[algorithm]
    keys = read_set(jwks(jwk(good, "good"), *entries)[: public_keys.MAX_BYTES], algorithm)
    assert keys["good"] == good.public_key()
