import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth.origins import allowed, cors_headers
from rtlite.settings import Settings

OWN = Settings()
LISTED = Settings(allowed_origins=("https://good.example",))
ANY = Settings(allowed_origins=("*",))
DEV = Settings(dev=True)


def test_a_client_without_an_origin_is_no_browser_and_may_connect():
    assert allowed(None, "good.example", "https", OWN)


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://localhost:8000", "localhost:8000", "http"),
        ("http://localhost:8000", "localhost:8000", "ws"),
        ("https://good.example", "good.example", "https"),
        ("https://good.example", "good.example:443", "wss"),
        ("https://good.example:443", "good.example", "https"),
        ("http://good.example:80", "good.example", "http"),
        ("https://GOOD.example", "good.EXAMPLE", "https"),
        ("http://[::1]:8000", "[::1]:8000", "http"),
    ],
)
def test_a_page_of_our_own_may_connect(origin, host, scheme):
    assert allowed(origin, host, scheme, OWN)


ATTACKS = [
    "https://good.example.evil.com",
    "https://evilgood.example",
    "https://evil.com/https://good.example",
    "https://good.example@evil.com",
    "https://good.example:444",
    "https://good.example.",
    "https://good.example/",
    "https://good.example https://evil.com",
    "https://good.example\\@evil.com",
    "http://good.example",
    "https://",
    "https://good.example:",
    "//good.example",
    "good.example",
    "null",
    "",
    "*",
    "file://",
    "https://[::1",
]


@pytest.mark.parametrize("origin", ATTACKS)
@pytest.mark.parametrize("settings", [OWN, LISTED], ids=["own", "listed"])
def test_a_page_that_only_looks_like_an_allowed_one_is_refused(origin, settings):
    assert not allowed(origin, "good.example", "https", settings)
    assert "Access-Control-Allow-Origin" not in cors_headers(origin, settings)


@pytest.mark.parametrize("host", [None, "", "good.example, evil.com", "evil.com@good.example"])
def test_an_unreadable_host_is_never_our_own(host):
    assert not allowed("https://good.example", host, "https", OWN)


def test_a_host_that_cannot_be_read_does_not_match_an_origin_that_cannot_be_read():
    assert not allowed("https://a b", "a b", "https", OWN)


def test_another_port_of_our_own_host_is_another_origin():
    assert not allowed("http://localhost:3000", "localhost:8000", "http", OWN)


@pytest.mark.parametrize("origin", ["https://good.example", "https://GOOD.example", "https://good.example:443"])
def test_a_listed_origin_may_connect_however_it_is_written(origin):
    assert allowed(origin, "api.example", "https", LISTED)


def test_an_app_scheme_can_be_listed():
    settings = Settings(allowed_origins=("capacitor://localhost",))
    assert allowed("capacitor://localhost", "api.example", "https", settings)
    assert not allowed("ionic://localhost", "api.example", "https", settings)


def test_null_is_allowed_only_when_listed():
    assert not allowed("null", "api.example", "https", ANY)
    assert allowed("null", "api.example", "https", Settings(allowed_origins=("null",)))


def test_a_star_allows_every_page():
    assert allowed("https://anything.example", "api.example", "https", ANY)
    assert not allowed("not an origin", "api.example", "https", ANY)


def test_dev_allows_every_page_also_one_opened_from_a_file():
    assert allowed("https://anything.example", "localhost:8000", "http", DEV)
    assert allowed("null", "localhost:8000", "http", DEV)


def test_pages_of_the_public_url_are_ours_under_whatever_name_a_proxy_asks_for_us():
    settings = Settings(public_url="https://live.example")
    assert allowed("https://live.example", "10.0.0.5:8000", "http", settings)
    assert allowed("https://LIVE.example:443", "10.0.0.5:8000", "http", settings)
    for origin in ("http://live.example", "https://live.example:8443", "https://a.live.example", "null", ""):
        assert not allowed(origin, "10.0.0.5:8000", "http", settings)
    assert not allowed("", "10.0.0.5:8000", "http", Settings())


def test_cors_names_a_listed_origin_and_keeps_caches_apart():
    assert cors_headers("https://good.example", LISTED) == {
        "Access-Control-Allow-Origin": "https://good.example",
        "Vary": "Origin",
    }


def test_cors_gives_an_unlisted_origin_nothing_but_keeps_caches_apart():
    assert cors_headers("https://evil.example", LISTED) == {"Vary": "Origin"}
    assert cors_headers(None, LISTED) == {"Vary": "Origin"}


def test_cors_is_open_in_dev_and_for_public_resources():
    assert cors_headers("https://any.example", DEV) == {"Access-Control-Allow-Origin": "*"}
    assert cors_headers("https://any.example", OWN, public=True) == {"Access-Control-Allow-Origin": "*"}


def test_cors_answers_a_star_and_does_not_reflect_when_every_origin_is_allowed():
    assert cors_headers("https://any.example", ANY)["Access-Control-Allow-Origin"] == "*"


@given(st.text(), st.booleans())
def test_cors_never_allows_credentials_and_never_reflects_what_is_not_listed(origin, public):
    for settings in (OWN, LISTED, ANY, DEV):
        headers = cors_headers(origin, settings, public=public)
        assert "Access-Control-Allow-Credentials" not in headers
        assert headers.get("Access-Control-Allow-Origin", "*") == "*"
