import gc
import logging
import statistics
import time
from contextlib import asynccontextmanager

import attrs
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rtlite.auth.gate import Gate, presented, presented_beside
from rtlite.auth.grants import is_backend, may_publish, may_subscribe
from rtlite.auth.keyring import Keyring
from rtlite.auth.tickets import Tickets
from rtlite.auth.tokens import Tokens
from rtlite.errors import TooMany, Unauthorized
from rtlite.metrics import Metrics
from rtlite.model import Kind
from rtlite.settings import Settings
from rtlite.store.database import open_database

SECRET = "a secret of at least thirty-two bytes"
HOME, AWAY = "192.0.2.1", "198.51.100.1"


class Clock:
    """Wall clock and monotonic clock in one, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def __call__(self) -> float:
        return self.seconds


@attrs.define
class Door:
    gate: Gate
    keyring: Keyring
    tokens: Tokens
    tickets: Tickets
    metrics: Metrics
    clock: Clock

    def refused(self, secret, address=HOME):
        with pytest.raises(Unauthorized) as refusal:
            self.gate.identify(secret, address, {})
        return refusal.value

    def failures(self):
        return self.metrics.registry.get_sample_value("rtlite_logins_failed_total")


@asynccontextmanager
async def door(**settings):
    clock, metrics, chosen = Clock(), Metrics(), Settings(**settings)
    async with open_database(":memory:") as database:
        keyring = Keyring(database, now=clock)
        tokens = Tokens(chosen, SECRET, now=clock)
        tickets = Tickets(chosen.ticket_lifetime, clock=clock)
        gate = Gate(chosen, keyring, tokens, tickets, metrics, now=clock, clock=clock)
        yield Door(gate, keyring, tokens, tickets, metrics, clock)


@pytest.mark.parametrize("kind", [Kind.BLOG, Kind.PROJECT, Kind.STREAM, Kind.ADMIN])
async def test_a_key_stands_for_its_user(kind):
    async with door() as it:
        key, secret = await it.keyring.create(kind, "ann")
        identity = it.gate.identify(secret, HOME, {})
        assert (identity.kind, identity.user, identity.credential) == (kind, "ann", key.id)


async def test_a_test_key_of_a_project_counts_as_a_project_key():
    async with door() as it:
        _, secret = await it.keyring.create(Kind.PROJECT, "site", live=False)
        assert it.gate.identify(secret, HOME, {}).kind is Kind.PROJECT


async def test_a_token_stands_for_its_subject():
    async with door() as it:
        assert it.gate.identify(it.tokens.sign("ann"), HOME, {}).credential == "jwt:ann"


async def test_a_ticket_stands_for_whoever_got_it_once():
    async with door() as it:
        _, secret = await it.keyring.create(Kind.BLOG, "ann")
        ticket = it.tickets.issue(it.gate.identify(secret, HOME, {}), only=["article:a"])
        identity = it.gate.identify(ticket, HOME, {})
        assert (identity.user, identity.only) == ("ann", ("article:a",))
        it.refused(ticket)


async def test_no_credential_is_refused_and_does_not_count_as_a_failed_login():
    async with door(login_rate=1) as it:
        for _ in range(10):
            for nothing in (None, ""):
                assert it.refused(nothing).headers == {"WWW-Authenticate": 'Bearer realm="rtlite"'}
        assert it.failures() == 0


async def test_unknown_wrong_expired_and_revoked_credentials_look_the_same():
    async with door(login_rate=0) as it:
        revoked, revoked_secret = await it.keyring.create(Kind.BLOG, "ann")
        await it.keyring.revoke(revoked.id)
        _, expired_secret = await it.keyring.create(Kind.BLOG, "ann", expires_in=60)
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        expired_token, expired_ticket = (
            it.tokens.sign("ann", ttl=60),
            it.tickets.issue(it.gate.identify(good, HOME, {})),
        )
        it.clock.seconds += 100
        bad = [
            revoked_secret, expired_secret, expired_token, expired_ticket, good[:-1], "mbk_unknown", "rtk_", "tkt_",
            "a.b.c", "nonsense", "x" * 100_000, "mbk_" + "x" * 100_000, "\ud800", "mbk_\ud800", "tkt_\ud800",
        ]  # fmt: skip
        seen = {(str(refusal), refusal.code, refusal.status, str(refusal.headers)) for refusal in map(it.refused, bad)}
        assert len(seen) == 1
        assert 'error="invalid_token"' in seen.pop()[3]
        assert it.failures() == len(bad)


async def test_unknown_and_wrong_keys_take_the_same_time():
    async with door(login_rate=0) as it:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            _, good = await it.keyring.create(Kind.BLOG, "ann")
            for number in range(200):
                await it.keyring.create(Kind.BLOG, f"user{number}")
            wrong, unknown = good[:-1] + "~", "mbk_" + "~" * 43
            taken: dict[str, list[int]] = {wrong: [], unknown: []}
            gc.disable()
            for _ in range(2000):
                for secret, times in taken.items():
                    start = time.perf_counter_ns()
                    it.refused(secret)
                    times.append(time.perf_counter_ns() - start)
        finally:
            gc.enable()
            structlog.reset_defaults()
        ratio = statistics.median(taken[wrong]) / statistics.median(taken[unknown])
        assert 0.7 < ratio < 1.4


async def test_a_revoked_key_ends_its_tickets():
    async with door() as it:
        key, secret = await it.keyring.create(Kind.BLOG, "ann")
        other, other_secret = await it.keyring.create(Kind.BLOG, "bob")
        ticket = it.tickets.issue(it.gate.identify(secret, HOME, {}))
        others = it.tickets.issue(it.gate.identify(other_secret, HOME, {}))
        await it.keyring.revoke(key.id)
        it.refused(ticket)
        assert it.gate.identify(others, HOME, {}).credential == other.id


async def test_a_ticket_does_not_outlive_the_credential_it_was_got_with():
    async with door() as it:
        _, secret = await it.keyring.create(Kind.BLOG, "ann", expires_in=10)
        ticket = it.tickets.issue(it.gate.identify(secret, HOME, {}))
        it.clock.seconds += 10
        it.refused(ticket)


async def test_after_too_many_failures_even_a_good_credential_is_not_looked_at():
    async with door(login_rate=3) as it:
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        ticket = it.tickets.issue(it.gate.identify(good, HOME, {}))
        for _ in range(3):
            it.refused("mbk_wrong")
        for secret in (good, ticket, "mbk_wrong"):
            with pytest.raises(TooMany) as refusal:
                it.gate.identify(secret, HOME, {})
            assert refusal.value.retry_after == pytest.approx(20)
            assert int(refusal.value.headers["Retry-After"]) >= 20
        assert it.failures() == 3
        assert it.gate.identify(ticket, AWAY, {}).user == "ann"  # it was not used up by the refusals


async def test_what_once_held_is_refused_but_is_no_guess_and_locks_nobody_out():
    async with door(login_rate=3) as it:
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        _, expired = await it.keyring.create(Kind.BLOG, "ann", expires_in=1)
        key, revoked = await it.keyring.create(Kind.BLOG, "ann")
        await it.keyring.revoke(key.id)
        token = it.tokens.sign("ann", ttl=1)
        it.clock.seconds += 60
        for _ in range(10):
            for secret in (expired, revoked, token):
                it.refused(secret)
        assert it.gate.identify(good, HOME, {}).user == "ann"
        assert it.failures() == 30
        for guess in (token[:-2], "mbk_wrong", token[:-2]):
            it.refused(guess)
        with pytest.raises(TooMany):
            it.gate.identify(good, HOME, {})


async def test_other_addresses_are_not_locked_out():
    async with door(login_rate=1) as it:
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        it.refused("mbk_wrong")
        assert it.gate.identify(good, AWAY, {}).user == "ann"


async def test_addresses_of_one_ipv6_network_are_counted_together():
    async with door(login_rate=2) as it:
        it.refused("mbk_wrong", "2001:db8::1")
        it.refused("mbk_wrong", "2001:db8::2")
        with pytest.raises(TooMany):
            it.gate.identify("mbk_wrong", "2001:db8::ffff:3", {})
        it.refused("mbk_wrong", "2001:db8:0:1::1")


async def test_an_address_may_try_again_after_the_time_it_was_told():
    async with door(login_rate=2) as it:
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        it.refused("mbk_wrong")
        it.refused("mbk_wrong")
        with pytest.raises(TooMany) as refusal:
            it.gate.identify(good, HOME, {})
        it.clock.seconds += refusal.value.retry_after
        assert it.gate.identify(good, HOME, {}).user == "ann"


async def test_good_logins_are_never_limited():
    async with door(login_rate=1) as it:
        _, good = await it.keyring.create(Kind.BLOG, "ann")
        assert {it.gate.identify(good, HOME, {}).user for _ in range(100)} == {"ann"}
        assert it.failures() == 0


async def test_limit_zero_is_no_limit():
    async with door(login_rate=0) as it:
        for _ in range(100):
            it.refused("mbk_wrong")
        assert it.failures() == 100


async def test_the_log_says_why_and_where_from_and_shows_no_secret(capsys):
    async with door() as it:
        _, secret = await it.keyring.create(Kind.BLOG, "ann", expires_in=1)
        token = it.tokens.sign("ann", ttl=1)
        it.clock.seconds += 60
        it.refused(secret)
        it.refused(token)
        it.refused(token[:-8] + "AAAAAAAA")
        it.refused("canary-" * 4)
        logged = capsys.readouterr().out
        for words in (
            "unknown, expired or revoked key",
            "exp has passed",
            "the signature does not match",
            "it is neither a key nor a JWT",
            HOME,
        ):
            assert words in logged
        assert secret not in logged
        assert token not in logged
        assert "canary" not in logged


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"authorization": "Bearer X"}, {}, "X"),
        ({"authorization": "bearer   X "}, {}, "X"),
        ({"x-api-key": "X"}, {}, "X"),
        ({}, {"token": "X"}, "X"),
        ({}, {"apiKey": "X"}, "X"),
        ({"authorization": "Bearer A", "x-api-key": "B"}, {"token": "C", "apiKey": "D"}, "A"),
        ({"x-api-key": "B"}, {"token": "C", "apiKey": "D"}, "B"),
        ({}, {"token": "C", "apiKey": "D"}, "C"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, {"token": "C"}, "C"),
        ({"authorization": "Basic dXNlcjpwYXNz"}, {}, None),
        ({"authorization": "Bearer"}, {}, None),
        ({"authorization": "Bearer "}, {"apiKey": "D"}, "D"),
        ({"authorization": "X"}, {}, None),
        ({"x-api-key": " "}, {"token": ""}, None),
        ({}, {"Token": "X", "apikey": "X", "api_key": "X"}, None),
        ({}, {}, None),
    ],
)
def test_a_credential_is_found_wherever_it_may_stand(headers, query, found):
    assert presented(headers, query) == found


@given(st.text(), st.text(), st.text())
def test_any_header_gives_a_credential_or_none(authorization, key, token):
    found = presented({"authorization": authorization, "x-api-key": key}, {"token": token})
    assert found is None or found == found.strip() != ""


# --- a key beside a token


async def test_who_shows_a_key_beside_a_token_is_the_tokens_user_with_the_rights_of_both():
    async with door() as it:
        key, secret = await it.keyring.create(Kind.PROJECT, "site", write=True)
        token = it.gate.identify(it.tokens.sign("ann", ttl=60), HOME, {})
        both = it.gate.beside(token, secret, HOME, {})
        assert (both.kind, both.user, both.credential) == (Kind.JWT, "ann", token.credential)
        assert is_backend(both) and not is_backend(token)
        assert may_subscribe(both, "jobs:*", Settings()) and not may_subscribe(token, "jobs:*", Settings())
        assert may_subscribe(both, "notifications:ann", Settings())
        assert may_publish(both, "article:x", Settings()) and not may_publish(token, "article:x", Settings())
        assert not may_subscribe(both, "notifications:bob", Settings())
        assert both.rests_on(key.id) and both.rests_on(token.credential) and not both.rests_on("key_other")


async def test_both_end_when_the_first_of_them_does():
    async with door() as it:
        _, brief = await it.keyring.create(Kind.PROJECT, "site", expires_in=10)
        _, lasting = await it.keyring.create(Kind.PROJECT, "site")
        token = it.gate.identify(it.tokens.sign("ann", ttl=60), HOME, {})
        assert it.gate.beside(token, brief, HOME, {}).expires == it.clock() + 10
        assert it.gate.beside(token, lasting, HOME, {}).expires == it.clock() + 60


async def test_a_key_that_does_not_hold_is_refused_however_good_the_token_is():
    async with door() as it:
        token = it.gate.identify(it.tokens.sign("ann", ttl=60), HOME, {})
        for bad in ("pk_live_unknown", it.tokens.sign("bob", ttl=60)):
            with pytest.raises(Unauthorized):
                it.gate.beside(token, bad, HOME, {})
        assert it.gate.beside(token, None, HOME, {}) is token
        key = it.gate.identify((await it.keyring.create(Kind.PROJECT, "site"))[1], HOME, {})
        assert it.gate.beside(key, "pk_live_unknown", HOME, {}) is key  # a key alone says who asks


@pytest.mark.parametrize(
    ("headers", "query", "found"),
    [
        ({"authorization": "Bearer a.b.c", "x-api-key": "pk_1"}, {}, "pk_1"),
        ({"authorization": "Bearer a.b.c"}, {"apiKey": "pk_1"}, "pk_1"),
        ({}, {"token": "a.b.c", "apiKey": "pk_1"}, "pk_1"),
        ({"x-api-key": "pk_1"}, {}, None),
        ({"authorization": "Bearer pk_1", "x-api-key": "pk_1"}, {}, None),
        ({"authorization": "Bearer a.b.c"}, {}, None),
    ],
)
def test_the_key_beside_a_token_is_found_where_keys_are(headers, query, found):
    assert presented_beside(headers, query) == found
