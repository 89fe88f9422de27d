import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth import claims
from rtlite.errors import InvalidRequest
from rtlite.model import Identity, Kind, Role
from rtlite.settings import Settings

NOW = 1_700_000_000.0
DAY = 86_400
SETTINGS = Settings()
GOOD = {"sub": "ann", "exp": NOW + 60}


def read(settings=SETTINGS, **changes):
    given = {**GOOD, **changes}
    return claims.identity({name: value for name, value in given.items() if value is not ...}, settings, NOW)


def test_subject_and_expiry_are_enough():
    assert read() == Identity(kind=Kind.JWT, user="ann", credential="jwt:ann", role=Role.USER, expires=NOW + 60)


def test_every_claim_reaches_the_identity():
    identity = read(role="collab", subscribe=["orders:*", "*"], publish=["free"])
    assert identity.role is Role.COLLAB
    assert identity.subscribe == ("orders:*", "*")
    assert identity.publish == ("free",)


def test_clocks_may_differ_by_the_leeway_and_no_more():
    assert read(exp=NOW - 9.9).user == "ann"
    assert read(nbf=NOW + 10, iat=NOW + 10).user == "ann"
    assert read(exp=NOW + DAY + 10).user == "ann"
    for changes in ({"exp": NOW - 10}, {"nbf": NOW + 10.1}, {"iat": NOW + 10.1}, {"exp": NOW + DAY + 10.1}):
        with pytest.raises(ValueError, match=r"exp|nbf|iat"):
            read(**changes)


def test_the_lifetime_limit_can_be_turned_off():
    settings = Settings(jwt_max_lifetime=0)
    assert read(settings, exp=NOW + 31 * 365 * DAY).user == "ann"
    with pytest.raises(ValueError, match="exp"):
        read(settings, exp=1e300)


@pytest.mark.parametrize("audience", ["me", ["me"], ["other", "me"]])
def test_a_token_for_our_audience_is_accepted(audience):
    assert read(Settings(jwt_audience="me"), aud=audience).user == "ann"


@pytest.mark.parametrize("audience", [..., "you", "me2", "m", ["you"], [], None, {"me": 1}, 1, [["me"]]])
def test_a_token_for_another_audience_is_refused(audience):
    with pytest.raises(ValueError, match="aud"):
        read(Settings(jwt_audience="me"), aud=audience)


def test_any_audience_and_issuer_are_accepted_when_none_is_set():
    assert read(aud="anyone", iss="anyone").user == "ann"


@pytest.mark.parametrize("issuer", [..., "https://id.example/", "HTTPS://id.example", ["https://id.example"], None])
def test_another_issuer_is_refused(issuer):
    with pytest.raises(ValueError, match="iss"):
        read(Settings(jwt_issuer="https://id.example"), iss=issuer)


def test_our_issuer_is_accepted():
    assert read(Settings(jwt_issuer="https://id.example"), iss="https://id.example").user == "ann"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ...},
        {"exp": None},
        {"exp": str(NOW + 60)},
        {"exp": True},
        {"exp": [NOW + 60]},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": NOW + 31 * 365 * DAY},
        {"exp": -1},
        {"nbf": "soon"},
        {"nbf": None},
        {"iat": {}},
        {"sub": ...},
        {"sub": None},
        {"sub": 7},
        {"sub": ["ann"]},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "a\nb"},
        {"sub": "a\x00b"},
        {"sub": "\ud800"},
        {"role": "root"},
        {"role": "ADMIN"},
        {"role": None},
        {"role": ["admin"]},
        {"role": {}},
        {"subscribe": "changes:*"},
        {"subscribe": None},
        {"subscribe": {"changes:*": 1}},
        {"subscribe": [1]},
        {"subscribe": ["a b"]},
        {"subscribe": ["a:b:*"]},
        {"subscribe": [""]},
        {"subscribe": ["a"] * 129},
        {"publish": ["a" * 256]},
        {"publish": [None]},
    ],
)
def test_a_claim_that_does_not_hold_is_refused(changes):
    with pytest.raises((ValueError, InvalidRequest)):
        read(**changes)


def test_a_subject_may_hold_255_characters_of_any_script():
    assert read(sub="ж" * 255).user == "ж" * 255


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
claim_names = st.sampled_from(["sub", "exp", "nbf", "iat", "aud", "iss", "role", "subscribe", "publish"])


@given(st.dictionaries(claim_names, json_values))
def test_any_claims_give_an_identity_or_a_refusal(random):
    settings = Settings(jwt_audience="a", jwt_issuer="b")
    for found in (random, {**GOOD, **random}):
        for used in (SETTINGS, settings):
            try:
                identity = claims.identity(found, used, NOW)
            except (ValueError, InvalidRequest):
                continue
            assert identity.kind is Kind.JWT
            assert identity.expires is not None
            assert NOW - 10 < identity.expires <= NOW + DAY + 10
