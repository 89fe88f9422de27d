import json

import httpx
import jwt
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import ec

from rtlite.auth import jwks
from rtlite.auth.jwks import KeySet
from rtlite.errors import StartError

P256 = ec.generate_private_key(ec.SECP256R1())
URL = "https://id.example/jwks?hush=hush"


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def jwk(key, kid=None):
    entry = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    entry.pop("key_ops", None)
    return entry if kid is None else {**entry, "kid": kid}


def text_of(*entries):
    return json.dumps({"keys": entries}).encode()


class Issuer:
    """Answers requests for the JWKS with ``answer``, and counts them."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0
        self.transport = httpx.MockTransport(self._respond)

    async def _respond(self, request):
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if isinstance(self.answer, bytes):
            return httpx.Response(200, content=self.answer)
        return self.answer if isinstance(self.answer, httpx.Response) else await self.answer(request)


@pytest.mark.parametrize(
    "source",
    [
        "http://id.example/jwks",
        "http://127.0.0.1.example/jwks",
        "http://169.254.169.254/latest",
        "http://localhost.example/jwks",
        "ftp://id.example/jwks",
        "file:///etc/passwd",
        "https://",
        "https://[::1/jwks",
    ],
)
def test_a_url_that_is_not_https_is_refused_at_the_start(source):
    with pytest.raises(StartError, match="jwt_jwks"):
        KeySet(source, "ES256")


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/jwks", "http://[::1]:9/jwks", "http://localhost:9/jwks", URL])
def test_https_and_loopback_are_allowed_and_nothing_is_fetched_yet(source):
    keys = KeySet(source, "ES256")
    assert keys.due
    assert keys.find("one") is None


async def test_a_file_is_read_at_the_start_and_again_when_due(tmp_path):
    file, clock = tmp_path / "jwks.json", Clock()
    file.write_bytes(text_of(jwk(P256, "one")))
    keys = KeySet(str(file), "ES256", clock=clock)
    assert keys.find("one") == P256.public_key()
    file.write_bytes(text_of(jwk(P256, "two")))
    await keys.refresh()
    assert keys.find("two") is None
    clock.seconds = 300
    await keys.refresh()
    assert keys.find("two") == P256.public_key()
    assert keys.find("one") is None


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path):
    file = tmp_path / "jwks.json"
    with pytest.raises(StartError, match="cannot read"):
        KeySet(str(file), "ES256")
    file.write_bytes(b"{}")
    with pytest.raises(StartError, match="no list"):
        KeySet(str(file), "ES256")


async def test_a_url_is_fetched_once_and_then_cached():
    issuer = Issuer(text_of(jwk(P256, "one")))
    keys = KeySet(URL, "ES256", issuer.transport, Clock())
    for _ in range(5):
        await keys.refresh()
        assert keys.find("one") == P256.public_key()
    assert issuer.asked == 1


async def test_without_a_kid_the_only_key_is_meant_and_among_several_none():
    issuer, clock = Issuer(text_of(jwk(P256))), Clock()
    keys = KeySet(URL, "ES256", issuer.transport, clock)
    await keys.refresh()
    assert keys.find(None) == P256.public_key()
    issuer.answer = text_of(jwk(P256, "one"), jwk(P256, "two"))
    clock.seconds += jwks.MAX_AGE
    await keys.refresh()
    assert keys.find(None) is None


async def test_unknown_kids_cause_one_fetch_in_five_minutes_however_many_they_are():
    issuer, clock = Issuer(text_of(jwk(P256, "one"))), Clock()
    keys = KeySet(URL, "ES256", issuer.transport, clock)
    for second in range(900):
        clock.seconds = float(second)
        assert keys.find(f"made up {second}") is None
        await keys.refresh()
    assert issuer.asked == 3


async def test_the_set_is_fetched_hourly_so_that_a_withdrawn_key_ends():
    issuer, clock = Issuer(text_of(jwk(P256, "one"))), Clock()
    keys = KeySet(URL, "ES256", issuer.transport, clock)
    await keys.refresh()
    issuer.answer = text_of(jwk(P256, "two"))
    clock.seconds = 3599
    await keys.refresh()
    assert keys.find("one") is not None
    clock.seconds = 3600
    await keys.refresh()
    assert keys.find("one") is None


async def never(request):
    await trio.sleep_forever()


async def endless(request):
    async def body():
        for _ in range(10_000):
            await trio.lowlevel.checkpoint()
            yield b" " * 65536
        raise AssertionError("read to the end")

    return httpx.Response(200, content=body())


async def dripping(request):
    async def body():
        while True:
            await trio.sleep(1)
            yield b" "

    return httpx.Response(200, content=body())


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
        httpx.Response(404),
        httpx.Response(200, content=text_of(jwk(P256, "two")), headers={"Content-Encoding": "br"}),
        b"<html>",
        text_of(),
        httpx.ConnectError("no route"),
        endless,
        dripping,
        never,
    ],
    ids=["redirect", "not found", "compressed", "no json", "empty", "unreachable", "endless", "dripping", "silent"],
)
async def test_a_failed_fetch_keeps_the_old_keys_and_is_tried_again_soon(answer, autojump_clock, capsys):
    issuer, clock = Issuer(text_of(jwk(P256, "one"))), Clock()
    keys = KeySet(URL, "ES256", issuer.transport, clock)
    await keys.refresh()
    clock.seconds += jwks.MAX_AGE
    issuer.answer = answer
    with trio.fail_after(jwks.FETCH_TIMEOUT + 1):
        await keys.refresh()
    assert issuer.asked == 2
    assert keys.find("one") == P256.public_key()
    assert keys.find("two") is None
    assert not keys.due
    clock.seconds += jwks.RETRY_INTERVAL
    assert keys.due
    logged = capsys.readouterr().out
    assert "id.example" in logged
    assert "hush" not in logged


async def test_two_refreshes_at_the_same_time_fetch_once():
    issuer = Issuer(text_of(jwk(P256, "one")))
    keys = KeySet(URL, "ES256", issuer.transport, Clock())
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(keys.refresh)
    assert issuer.asked == 1
