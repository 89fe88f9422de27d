import base64
import hashlib
import hmac
import json
import re

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from rtlite.auth.tokens import Tokens
from rtlite.errors import Conflict, InvalidRequest, StartError, Unauthorized
from rtlite.model import Identity, Kind, Role
from rtlite.settings import DEV_JWT_SECRET, Settings

NOW = 1_700_000_000.5
DAY = 86_400
SECRET = "a secret of at least thirty-two bytes"
GOOD = {"sub": "ann", "exp": NOW + 60}
RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
RSA_JWK = jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True)


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def part(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header, claims, secret=SECRET, digest=hashlib.sha256):
    """A token put together by hand, since no library signs what an attacker would."""
    signed = f"{part(header)}.{part(claims)}"
    key = secret if isinstance(secret, bytes) else secret.encode()
    return f"{signed}.{part(hmac.new(key, signed.encode(), digest).digest())}"


def tokens(secret=SECRET, **settings):
    return Tokens(Settings(**settings), secret, now=lambda: NOW)


@pytest.fixture
def with_public_key(tmp_path):
    def make(key, algorithm):
        (tmp_path / "key.pem").write_bytes(pem(key))
        return tokens("", jwt_algorithm=algorithm, jwt_public_key=str(tmp_path / "key.pem"))

    return make


def test_a_signed_token_is_verified_and_gives_the_same_identity():
    ours = tokens()
    token = ours.sign("ann", Role.COLLAB, 3600, ["orders:*"], ["free"])
    assert ours.verify(token) == Identity(
        kind=Kind.JWT,
        user="ann",
        credential="jwt:ann",
        role=Role.COLLAB,
        subscribe=("orders:*",),
        publish=("free",),
        expires=int(NOW + 3600),
    )


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_each_hmac_signs_and_verifies(algorithm):
    ours = tokens("x" * 64, jwt_algorithm=algorithm)
    token = ours.sign("ann")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT"}
    assert ours.verify(token).user == "ann"


def test_a_signed_token_carries_the_audience_and_issuer_that_are_asked_for():
    ours = tokens(jwt_audience="me", jwt_issuer="us")
    claims = jwt.decode(ours.sign("ann"), options={"verify_signature": False})
    assert (claims["aud"], claims["iss"]) == ("me", "us")
    assert ours.verify(ours.sign("ann")).user == "ann"


def test_a_token_of_any_audience_is_accepted_when_none_is_set():
    assert tokens().verify(forged({"alg": "HS256"}, {**GOOD, "aud": ["x"]})).user == "ann"


def test_another_audience_is_refused_when_one_is_set():
    with pytest.raises(Unauthorized):
        tokens(jwt_audience="me").verify(forged({"alg": "HS256"}, {**GOOD, "aud": "you"}))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS384"), (RSA, "RS512"), (P256, "ES256"), (P384, "ES384"), (ED, "EdDSA")],
)
def test_tokens_signed_elsewhere_are_verified_with_a_public_key(with_public_key, key, algorithm):
    theirs = with_public_key(key, algorithm)
    assert theirs.verify(jwt.encode(GOOD, key, algorithm)).user == "ann"
    with pytest.raises(Conflict, match="signed elsewhere"):
        theirs.sign("ann")


ATTACKS = {
    "none": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "None": f"{part({'alg': 'None'})}.{part(GOOD)}.",
    "nOnE": f"{part({'alg': 'nOnE'})}.{part(GOOD)}.",
    "none, with a good signature": forged({"alg": "none"}, GOOD),
    "no alg": forged({"typ": "JWT"}, GOOD),
    "empty alg": forged({"alg": ""}, GOOD),
    "alg null": forged({"alg": None}, GOOD),
    "alg as a list": forged({"alg": ["HS256"]}, GOOD),
    "alg as an object": forged({"alg": {"HS256": 1}}, GOOD),
    "alg in lower case": forged({"alg": "hs256"}, GOOD),
    "HS512 instead": forged({"alg": "HS512"}, GOOD, digest=hashlib.sha512),
    "RS256 instead": jwt.encode(GOOD, RSA, "RS256"),
    "ES256 instead": jwt.encode(GOOD, P256, "ES256"),
    "another secret": forged({"alg": "HS256"}, GOOD, secret="b" * 37),
    "empty secret": forged({"alg": "HS256"}, GOOD, secret=b""),
    "jwk in the header": jwt.encode(GOOD, RSA, "RS256", headers={"jwk": RSA_JWK}),
    "jwk in the header, HS256": forged({"alg": "HS256", "jwk": {"kty": "oct", "k": "eHh4"}}, GOOD, secret=b"xxx"),
    "jku in the header": jwt.encode(GOOD, RSA, "RS256", headers={"jku": "https://evil.example/jwks"}),
    "x5u in the header": jwt.encode(GOOD, RSA, "RS256", headers={"x5u": "https://evil.example/cert"}),
    "x5c in the header": jwt.encode(GOOD, RSA, "RS256", headers={"x5c": ["AAAA"]}),
    "kid leads to a file": forged({"alg": "HS256", "kid": "/dev/null"}, GOOD, secret=b""),
    "kid as an object": forged({"alg": "HS256", "kid": {}}, GOOD),
    "unknown crit": forged({"alg": "HS256", "crit": ["exp"], "exp": 1}, GOOD),
    "empty crit": forged({"alg": "HS256", "crit": []}, GOOD),
    "crit that PyJWT knows": forged({"alg": "HS256", "crit": ["b64"], "b64": True}, GOOD),
    "unencoded payload": forged({"alg": "HS256", "crit": ["b64"], "b64": False}, GOOD),
    "exp missing": forged({"alg": "HS256"}, {"sub": "ann"}),
    "exp as text": forged({"alg": "HS256"}, {"sub": "ann", "exp": str(int(NOW) + 60)}),
    "exp in 31 years": forged({"alg": "HS256"}, {"sub": "ann", "exp": NOW + 31 * 365 * DAY}),
    "exp infinite": forged({"alg": "HS256"}, b'{"sub":"ann","exp":Infinity}'),
    "exp beyond floats": forged({"alg": "HS256"}, b'{"sub":"ann","exp":1e999}'),
    "exp of 5,000 digits": forged({"alg": "HS256"}, b'{"sub":"ann","exp":' + b"9" * 5000 + b"}"),
    "expired": forged({"alg": "HS256"}, {**GOOD, "exp": NOW - 11}),
    "not yet valid": forged({"alg": "HS256"}, {**GOOD, "nbf": NOW + 11}),
    "sub missing": forged({"alg": "HS256"}, {"exp": NOW + 60}),
    "sub as a number": forged({"alg": "HS256"}, {**GOOD, "sub": 1}),
    "unknown role": forged({"alg": "HS256"}, {**GOOD, "role": "root"}),
    "claims as a list": forged({"alg": "HS256"}, [GOOD]),
    "claims nested deeply": forged({"alg": "HS256"}, b"[" * 5000),
    "header nested deeply": forged(b"[" * 5000, GOOD),
    "header as a list": forged(["HS256"], GOOD),
    "payload is not JSON": forged({"alg": "HS256"}, b"\xff"),
    "oversized": forged({"alg": "HS256"}, {**GOOD, "x": "x" * 8192}),
    "oversized garbage": "x" * 100_000,
    "five parts": "a.b.c.d.e",
    "not ASCII": "ey.é.ü",
    "lone surrogate": "ey.\ud800.x",
    "null byte": forged({"alg": "HS256"}, GOOD) + "\0",
    "line end": forged({"alg": "HS256"}, GOOD) + "\n",
    "empty": "",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_the_same_words(name):
    with pytest.raises(Unauthorized) as refusal:
        tokens().verify(ATTACKS[name])
    assert refusal.value.detail == "the credential is not valid"
    assert refusal.value.code == "unauthorized"


def test_the_token_that_the_attacks_vary_is_good():
    assert tokens().verify(forged({"alg": "HS256"}, GOOD)).user == "ann"


def test_keys_that_a_header_brings_along_are_ignored():
    header = {"alg": "HS256", "jwk": RSA_JWK, "jku": "https://evil.example", "x5u": "https://evil.example", "kid": "x"}
    assert tokens().verify(forged(header, GOOD)).user == "ann"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_an_hmac_made_with_the_public_key_is_refused(with_public_key, algorithm):
    key = {"RS256": RSA, "ES256": P256, "EdDSA": ED}[algorithm]
    theirs = with_public_key(key, algorithm)
    public = pem(key)
    disguises = [
        public,
        public.strip(),
        public.replace(b"\n", b"\r\n"),
        public.replace(b"\n", b""),
        key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(RSA_JWK).encode(),
    ]
    for secret in disguises:
        for name in ("HS256", algorithm):
            with pytest.raises(Unauthorized):
                theirs.verify(forged({"alg": name}, GOOD, secret=secret))


def test_a_token_of_the_same_family_but_another_hash_is_refused(with_public_key):
    theirs = with_public_key(RSA, "RS256")
    for algorithm in ("RS384", "RS512", "PS256"):
        with pytest.raises(Unauthorized):
            theirs.verify(jwt.encode(GOOD, RSA, algorithm))


def test_a_changed_byte_anywhere_is_refused():
    token = forged({"alg": "HS256"}, GOOD)
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(Unauthorized):
            tokens().verify(changed)


@pytest.mark.parametrize(("algorithm", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_shorter_than_its_hash_stops_the_start_and_is_not_shown(algorithm, least):
    assert tokens("x" * least, jwt_algorithm=algorithm).sign("ann")
    for secret in ("", "hush", "hush" * (least // 4 - 1)):
        with pytest.raises(StartError) as error:
            tokens(secret, jwt_algorithm=algorithm)
        assert "hush" not in str(error.value)


def test_the_secret_of_dev_is_long_enough():
    assert tokens(DEV_JWT_SECRET).sign("ann")


def test_a_public_key_as_the_secret_stops_the_start():
    with pytest.raises(StartError, match="not a secret"):
        tokens(pem(RSA).decode())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"jwt_algorithm": "RS256"}, "needs jwt_public_key or jwt_jwks"),
        ({"jwt_algorithm": "RS256", "jwt_public_key": "a", "jwt_jwks": "b"}, "one of them"),
        ({"jwt_algorithm": "HS256", "jwt_public_key": "a"}, "jwt_public_key: .* uses a secret"),
        ({"jwt_algorithm": "HS256", "jwt_jwks": "a"}, "jwt_jwks: .* uses a secret"),
        ({"jwt_algorithm": "ES256", "jwt_jwks": "http://id.example/"}, "https"),
    ],
)
def test_settings_that_contradict_each_other_stop_the_start(settings, text):
    with pytest.raises(StartError, match=text):
        tokens(**settings)


async def test_tokens_are_verified_with_the_key_that_their_kid_names_once_the_set_was_fetched():
    entry = jwt.algorithms.ECAlgorithm.to_jwk(P256.public_key(), as_dict=True)
    entry.pop("key_ops", None)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json={"keys": [{**entry, "kid": "one"}]}))
    settings = Settings(jwt_algorithm="ES256", jwt_jwks="https://id.example/jwks")
    theirs = Tokens(settings, "", now=lambda: NOW, transport=transport)
    token = jwt.encode(GOOD, P256, "ES256", headers={"kid": "one"})
    with pytest.raises(Unauthorized):
        theirs.verify(token)
    await theirs.refresh()
    assert theirs.verify(token).user == "ann"
    assert theirs.verify(jwt.encode(GOOD, P256, "ES256")).user == "ann"
    for attack in (
        jwt.encode(GOOD, P256, "ES256", headers={"kid": "two"}),
        jwt.encode(GOOD, ec.generate_private_key(ec.SECP256R1()), "ES256", headers={"kid": "one"}),
        forged({"alg": "HS256", "kid": "one"}, GOOD, secret=pem(P256)),
        forged({"alg": "ES256", "kid": ["one"]}, GOOD),
        "x.y.z",
        "",
    ):
        with pytest.raises(Unauthorized):
            theirs.verify(attack)


async def test_refreshing_without_a_set_does_nothing():
    ours = tokens()
    await ours.refresh()
    assert ours.verify(ours.sign("ann")).user == "ann"


@pytest.mark.parametrize(
    "arguments",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": DAY + 1},
        {"ttl": float("nan")},
        {"ttl": float("inf")},
        {"user": ""},
        {"user": "a\nb"},
        {"subscribe": ["a b"]},
        {"publish": ["a:b:*"]},
        {"subscribe": ["a"] * 129},
        {"subscribe": ["x" * 255] * 64},
    ],
)
def test_a_token_that_would_not_be_accepted_is_not_signed(arguments):
    with pytest.raises(InvalidRequest):
        tokens().sign(**{"user": "ann", **arguments})


@pytest.mark.parametrize(("limit", "most"), [(DAY, "1d (jwt_max_lifetime)"), (0, "the year 9999")])
def test_who_asks_for_too_long_a_life_is_told_the_longest(limit, most):
    with pytest.raises(InvalidRequest, match=re.escape(f"ttl: from 1s up to {most} is allowed")):
        tokens(jwt_max_lifetime=limit).sign("ann", ttl=1e300)


@pytest.mark.parametrize("ttl", [1, 1.5, DAY])
def test_every_lifetime_that_can_be_signed_is_accepted_without_leeway(ttl):
    ours = tokens(jwt_leeway=0)
    assert ours.verify(ours.sign("ann", ttl=ttl)).user == "ann"


def test_without_a_limit_a_token_may_hold_for_years_but_not_beyond_dates():
    ours = tokens(jwt_max_lifetime=0)
    assert ours.verify(ours.sign("ann", ttl=31 * 365 * DAY)).user == "ann"
    with pytest.raises(InvalidRequest):
        ours.sign("ann", ttl=1e300)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
@example("..")
@example("a.b.c")
def test_random_text_raises_nothing_but_unauthorized(text):
    with pytest.raises(Unauthorized):
        tokens().verify(text)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_random_headers_and_claims_with_a_good_signature_raise_nothing_but_unauthorized(header, claims):
    for token in (forged(header, claims), forged({"alg": "HS256"}, claims), forged(header, GOOD)):
        with pytest.raises(Unauthorized):
            tokens().verify(token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["typ", "kid", "crit", "b64", "cty", "jwk"]), json_values))
def test_random_header_fields_never_break_the_check(fields):
    try:
        assert tokens().verify(forged({"alg": "HS256", **fields}, GOOD)).user == "ann"
    except Unauthorized:
        assert {"kid", "crit", "b64"} & set(fields)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_random_signatures_raise_nothing_but_unauthorized(with_public_key, algorithm):
    theirs = with_public_key({"RS256": RSA, "ES256": P256, "EdDSA": ED}[algorithm], algorithm)

    @given(st.binary(max_size=300) | st.binary(min_size=64, max_size=64))
    def check(signature):
        with pytest.raises(Unauthorized):
            theirs.verify(f"{part({'alg': algorithm})}.{part(GOOD)}.{part(signature)}")

    check()
