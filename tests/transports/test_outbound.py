"""Deliveries to real local servers: what counts as taken, what is bounded, and where none goes."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trustme

from rtlite.errors import InvalidRequest
from rtlite.settings import Settings
from rtlite.transports.outbound import Answer, Outbound, Resolve, check_url
from tests import receivers
from tests.receivers import Behaviour, answer, receiving


def open_settings(**chosen: Any) -> Settings:
    return Settings(**{"webhook_private": True, "webhook_timeout": 5.0, **chosen})


async def post(url: str, body: bytes = b"{}", resolve: Resolve | None = None, **settings: Any) -> Answer:
    async with Outbound(open_settings(**settings), resolve) as outbound:
        return await outbound.post(url, {"x-test": "yes"}, body)


def leading_to(*answers: Sequence[str]) -> tuple[Resolve, list[str]]:
    """A name server: its answers in turn, the last of which it repeats; and the names it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        asked.append(host)
        return list(answers[min(len(asked), len(answers)) - 1])

    return resolve, asked


async def test_the_body_arrives_as_it_is_and_2xx_is_taken() -> None:
    async with receiving(204) as receiver:
        came = await post(receiver.url + "?a=b%20c", b'{"a":1}')
        request = await receiver.request()
    assert (came.status, came.error, came.taken) == (204, None, True)
    assert (request.target, request.body) == ("/hook?a=b%20c", b'{"a":1}')
    assert request.headers["x-test"] == "yes" and request.headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304, 400, 404, 410, 429, 500, 503])
async def test_any_other_status_is_not_taken(status: int) -> None:
    async with receiving(status) as receiver:
        came = await post(receiver.url)
    assert (came.status, came.error, came.taken) == (status, f"answered {status}", False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiving() as inside, receiving(answer(status, location=inside.url)) as receiver:
        assert not (await post(receiver.url)).taken
        assert inside.connections == 0


async def test_a_retry_after_is_handed_on() -> None:
    async with receiving(answer(503, retry_after="17")) as receiver:
        assert (await post(receiver.url)).retry_after == "17"


@pytest.mark.parametrize(
    ("behaviour", "timeout", "error"),
    [
        (receivers.hang, 0.2, "no answer in time"),
        (receivers.reset, 10.0, "its answer is no HTTP"),
        (receivers.babble, 10.0, "its answer is no HTTP"),
    ],
)
async def test_an_endpoint_that_does_not_answer_is_given_up_in_time(
    behaviour: Behaviour, timeout: float, error: str
) -> None:
    async with receiving(behaviour) as receiver:
        with trio.fail_after(3):
            came = await post(receiver.url, webhook_timeout=timeout)
    assert (came.status, came.error, came.taken) == (None, error, False)


@pytest.mark.parametrize("behaviour", [receivers.endless, receivers.trickle])
async def test_of_an_answer_without_end_the_status_counts_and_the_rest_is_cut(behaviour: Behaviour) -> None:
    async with receiving(behaviour) as receiver:
        with trio.fail_after(3):
            came = await post(receiver.url, webhook_timeout=1.0)  # by then the status is there on a busy machine too
    assert (came.status, came.taken) == (200, True)


async def test_an_endpoint_that_never_reads_is_given_up_in_time() -> None:
    async def deaf(_: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, deaf, listeners)
        port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(3):
            came = await post(f"http://127.0.0.1:{port}/", bytes(32 * 1024 * 1024), webhook_timeout=0.3)
        nursery.cancel_scope.cancel()
    assert came.error == "no answer in time"


async def test_nobody_there_is_said() -> None:
    async with receiving() as receiver:
        url = receiver.url
    assert (await post(url)).error == "it could not be connected to"


async def test_a_connection_is_used_again() -> None:
    async with receiving() as receiver, Outbound(open_settings()) as outbound:
        for _ in range(5):
            assert (await outbound.post(receiver.url, {}, b"{}")).taken
        assert receiver.connections == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving() as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await post(receiver.url)).taken
        assert proxy.connections == 0


# --- where it may go (SSRF)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "64:ff9b::7f00:1", "224.0.0.1"])
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    async with receiving() as receiver:
        resolve, _ = leading_to([address])
        came = await post(f"http://public.example:{receiver.port}/", resolve=resolve, webhook_private=False)
        assert (came.status, came.error) == (None, "its address may not be reached")
        assert receiver.connections == 0


async def test_one_forbidden_address_among_others_is_enough() -> None:
    resolve, _ = leading_to(["93.184.216.34", "127.0.0.1"])
    assert (await post("http://public.example/", resolve=resolve, webhook_private=False)).error == (
        "its address may not be reached"
    )


async def test_a_name_server_that_answers_twice_differently_is_asked_once() -> None:
    async with receiving(host="127.0.0.2") as first, receiving(host="127.0.0.3", port=first.port) as second:
        resolve, asked = leading_to(["127.0.0.2"], ["127.0.0.3"])
        assert (await post(f"http://public.example:{first.port}/", resolve=resolve)).taken
        assert (asked, first.connections, second.connections) == (["public.example"], 1, 0)
        assert (await first.request()).headers["host"] == f"public.example:{first.port}"


async def test_the_next_address_is_tried_if_the_first_is_silent() -> None:
    async with receiving(host="127.0.0.3") as receiver:
        resolve, _ = leading_to(["127.0.0.2", "127.0.0.3"])
        assert (await post(f"http://public.example:{receiver.port}/", resolve=resolve)).taken


async def test_a_name_that_leads_nowhere_is_said() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    assert (await post("http://nowhere.example/", resolve=resolve)).error == "its name leads nowhere"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "017700000001", "localhost", "[::1]"])
async def test_at_the_connection_as_well_a_spelling_does_not_matter(host: str) -> None:
    async with receiving() as receiver:
        came = await post(f"http://{host}:{receiver.port}/", webhook_private=False)
        assert came.error == "its address may not be reached"
        assert receiver.connections == 0


async def test_a_certificate_is_checked_against_the_name_and_not_the_address() -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("hooks.example").configure_cert(server)
    authority.configure_trust(client)
    resolve, _ = leading_to(["127.0.0.1"])
    async with receiving(tls=server) as receiver, Outbound(open_settings(), resolve, client) as outbound:
        assert (await outbound.post(f"https://hooks.example:{receiver.port}/", {}, b"{}")).taken
        other = await outbound.post(f"https://other.example:{receiver.port}/", {}, b"{}")
        assert other.error == "its certificate does not hold"
    async with receiving(tls=server) as receiver:
        untrusted = await post(f"https://hooks.example:{receiver.port}/", resolve=resolve)
        assert untrusted.error == "its certificate does not hold"


# --- what is a URL for a webhook


@pytest.mark.parametrize(
    "url",
    [
        "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://017700000001/", "https://0/", "https://localhost/",
        "https://[::ffff:127.0.0.1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/",
        "https://169.254.169.254/latest/meta-data/", "https://100.64.0.1/", "https://224.0.0.1/", "https://user@example.com/",
        "https://user:pass@example.com/", "http://example.com/", "https://example.com:22/", "https://example.com/#a",
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "https:///x", "https://", "example.com",
        "", "https://exa mple.com/", "https://example.com:99999/", "https://[::1",
        "https://" + "a" * 2048 + ".example/",
    ],
)  # fmt: skip
def test_a_url_that_leads_where_it_may_not_is_refused_at_once(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"^url: "):
        check_url(url, Settings())


@pytest.mark.parametrize("url", ["https://example.com/hook?a=b", "https://example.com:8443/", "https://1.1.1.1/"])
def test_a_public_https_url_is_taken(url: str) -> None:
    assert check_url(url, Settings()) == url


def test_the_setting_and_dev_allow_the_own_network_and_http_but_not_the_metadata() -> None:
    for settings in (Settings(webhook_private=True), Settings(dev=True)):
        assert check_url("http://localhost:3000/hook", settings) == "http://localhost:3000/hook"
        assert check_url("http://10.0.0.7/", settings)
        for url in ("http://169.254.169.254/", "http://[64:ff9b::7f00:1]/", "http://0/", "http://a@10.0.0.7/"):
            with pytest.raises(InvalidRequest):
                check_url(url, settings)
