"""Sessions of the console: whom a cookie stands for, and until when."""

from __future__ import annotations

import attrs
import pytest

from rtlite.auth.logins import Logins, cookie_name
from rtlite.model import Identity, Kind

HOST = "127.0.0.1:8000"


@attrs.define
class Clock:
    """Wall clock and monotonic clock, each moved by hand."""

    wall: float = 1_700_000_000.0
    steady: float = 50.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def made(lifetime: float = 3600.0) -> tuple[Logins, Clock]:
    clock = Clock()
    return Logins(lifetime, now=lambda: clock.wall, clock=lambda: clock.steady), clock


def admin(key: str = "key_1", expires: float | None = None) -> Identity:
    return Identity(Kind.ADMIN, "op", key, expires=expires)


def cookie(secret: str, host: str = HOST, name: str = "rtlite_session_8000") -> dict[str, str]:
    return {"host": host, "cookie": f"{name}={secret}"}


def test_a_cookie_stands_for_the_operator_whose_key_was_shown() -> None:
    logins, clock = made()
    secret, login = logins.begin(admin())
    assert logins.find(cookie(secret)) is login
    assert (login.identity.user, login.identity.credential) == ("op", "key_1")
    assert login.identity.expires == clock.wall + 3600
    assert len(secret) == 43 and secret not in repr(vars(logins))  # only its digest is kept


def test_each_login_has_a_secret_of_its_own() -> None:
    logins, _ = made()
    secrets = {logins.begin(admin())[0] for _ in range(100)}
    assert len(secrets) == 100


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HOST},
        {"host": HOST, "cookie": ""},
        {"host": HOST, "cookie": ";;=;,"},
        {"host": HOST, "cookie": "rtlite_session_8000="},
        {"host": HOST, "cookie": "rtlite_session_8000=" + "A" * 43},
        {"host": HOST, "cookie": "rtlite_session_8000=" + "A" * 16_000},
        {"host": HOST, "cookie": "rtlite_session_8000=\ud800" + "A" * 42},
    ],
)
def test_what_is_no_cookie_of_a_session_is_nobody(headers: dict[str, str]) -> None:
    logins, _ = made()
    logins.begin(admin())
    assert logins.find(headers) is None


@pytest.mark.parametrize("name", ["session", "rtlite_session", "rtlite_session_8001", "RTLITE_SESSION_8000"])
def test_a_cookie_of_another_name_or_port_is_nobodys(name: str) -> None:
    logins, _ = made()
    secret, _login = logins.begin(admin())
    assert logins.find(cookie(secret, name=name)) is None


def test_it_is_found_among_others_and_past_one_that_is_over() -> None:
    logins, _ = made()
    old, _login = logins.begin(admin())
    logins.end(cookie(old))
    secret, login = logins.begin(admin())
    headers = {"host": HOST, "cookie": f"a=b; rtlite_session_8000={old}, x=y;rtlite_session_8000={secret}"}
    assert logins.find(headers) is login


@pytest.mark.parametrize(
    ("host", "secure", "name"),
    [
        ("localhost:8000", False, "rtlite_session_8000"),
        ("localhost", False, "rtlite_session"),
        ("[::1]:8000", False, "rtlite_session_8000"),
        ("[::1]", False, "rtlite_session"),
        ("live.example", True, "__Host-rtlite_session"),
        ("live.example:8443", True, "__Host-rtlite_session_8443"),
        ("", False, "rtlite_session"),
    ],
)
def test_servers_on_several_ports_of_a_host_have_cookies_of_their_own(host: str, secure: bool, name: str) -> None:
    assert cookie_name({"host": host}, secure=secure) == name
    logins, _ = made()
    secret, login = logins.begin(admin())
    assert logins.find(cookie(secret, host, name)) is login


def test_it_is_over_after_its_time_by_either_clock() -> None:
    logins, clock = made(60)
    secret, _login = logins.begin(admin())
    clock.pass_by(59)
    assert logins.find(cookie(secret)) is not None
    clock.wall -= 1_000_000  # a clock that is set back does not prolong it
    clock.steady += 2
    assert logins.find(cookie(secret)) is None


def test_it_is_over_no_later_than_its_key() -> None:
    logins, clock = made(3600)
    secret, login = logins.begin(admin(expires=clock.wall + 10))
    assert login.identity.expires == clock.wall + 10
    clock.pass_by(11)
    assert logins.find(cookie(secret)) is None


def test_a_revoked_key_ends_its_sessions_and_what_they_have_open_and_no_others() -> None:
    logins, _ = made()
    ended: list[str] = []
    secrets = []
    for key, name in (("key_1", "a"), ("key_2", "b"), ("key_1", "c")):
        secret, login = logins.begin(admin(key))
        login.on_end.append(lambda name=name: ended.append(name))
        secrets.append(secret)
    logins.forget("key_1")
    assert sorted(ended) == ["a", "c"]
    assert [logins.find(cookie(secret)) is None for secret in secrets] == [True, False, True]


def test_the_table_is_bounded_and_the_oldest_session_goes() -> None:
    logins, _ = made()
    first, _login = logins.begin(admin())
    second, _login = logins.begin(admin())
    for _ in range(999):
        logins.begin(admin())
    assert len(logins) == 1000
    assert logins.find(cookie(first)) is None and logins.find(cookie(second)) is not None
