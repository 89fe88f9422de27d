"""Where the server listens: addresses, unix sockets, TLS; and what only a kernel does."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import trio
import trustme

from rtlite.errors import StartError
from rtlite.model import NewEvent
from rtlite.settings import Settings
from rtlite.transports.sockets import open_tcp, open_unix, tls_context
from tests.streams import ask
from tests.transports.doors import PING, PONG, Peer, close_frame, frame, handshake, head, post, serving, tcp

HEALTH = head("GET /healthz")
HAS_IPV6 = Path("/proc/net/if_inet6").exists() and Path("/proc/net/if_inet6").read_text().strip() != ""


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
async def test_the_ipv6_loopback() -> None:
    async with serving(host="::1") as server:
        assert server.url == f"http://[::1]:{server.port}"
        peer = Peer(await trio.open_tcp_stream("::1", server.port))
        await peer.send(HEALTH, handshake("/blog/ws/notifications"))
        assert (await peer.answer()).status == 200
        assert (await peer.answer()).status == 101
        assert await peer.close_code() == 4401


async def test_localhost_is_every_loopback_on_one_port() -> None:
    async with serving(host="localhost") as server:
        addresses = {found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
        for address in addresses:
            peer = Peer(await trio.open_tcp_stream(address, server.port))
            await peer.send(HEALTH)
            assert (await peer.answer()).status == 200


async def test_a_port_that_is_taken_is_a_start_error_in_one_line() -> None:
    async with serving() as server:
        with pytest.raises(StartError, match=rf"^cannot listen on 127.0.0.1:{server.port}: .*in use$"):
            open_tcp(Settings(port=server.port))


def test_a_host_that_there_is_not_is_named_in_words():
    with pytest.raises(StartError, match=r"^cannot listen on nosuch\.invalid: [^\[]+$"):
        open_tcp(Settings(host="nosuch.invalid"))


@pytest.mark.parametrize("host", ["no.such.host.invalid", "300.1.1.1", "192.0.2.1", "a" * 300, "a..b", "ü"])
def test_a_host_that_is_none_of_ours_is_a_start_error(host: str) -> None:
    with pytest.raises(StartError):
        open_tcp(Settings(host=host, port=0))


def test_a_port_that_is_none_is_a_start_error() -> None:
    with pytest.raises(StartError):
        open_tcp(Settings(port=70000))


def test_accepted_sockets_have_the_send_buffer_and_the_timeout_of_the_settings() -> None:
    """Or the kernel would hold megabytes for each client that does not read, and a dead one for very long."""
    settings = Settings(port=0, send_buffer=48 * 1024, write_timeout=7.0)
    (listener,) = open_tcp(settings)
    with listener.socket._sock as listening, socket.create_connection(listening.getsockname()) as client:
        listening.setblocking(True)
        accepted, _ = listening.accept()
        with accepted, client:
            assert (
                accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 48 * 1024
            )  # Linux counts its own share
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000


# --- unix sockets


async def test_a_unix_socket_serves_both_protocols_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "rtlite.sock"
    async with serving(uds=str(path)) as server:
        assert server.url == f"http+unix:{path}"
        peer = Peer(await trio.open_unix_socket(str(path)))
        await peer.send(HEALTH, post("/api/publish", b"{}"), handshake("/blog/ws/notifications"))
        assert [(await peer.answer()).status for _ in range(3)] == [200, 401, 101]  # not the control socket
    assert not path.exists()


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()
    async with serving(uds=str(directory / "s.sock")):
        folder = os.open(directory, os.O_RDONLY)
        peer = Peer(await trio.open_unix_socket(f"/proc/self/fd/{folder}/s.sock"))
        os.close(folder)
        await peer.send(HEALTH)
        assert (await peer.answer()).status == 200


async def test_a_socket_that_a_killed_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "rtlite.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with serving(uds=str(path)):
        peer = Peer(await trio.open_unix_socket(str(path)))
        await peer.send(HEALTH)
        assert (await peer.answer()).status == 200


async def test_a_socket_that_a_live_server_has_is_not(tmp_path: Path) -> None:
    path = str(tmp_path / "rtlite.sock")
    async with serving(uds=path):
        with pytest.raises(StartError, match="another server"), open_unix(path, Settings(), 0o600):
            pass
        assert await trio.Path(path).exists()


async def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(StartError, match="no socket"), open_unix(str(path), Settings(), 0o600):
        pass
    assert path.read_text() == "mine"


@pytest.mark.parametrize("mode", [0o600, 0o666])
async def test_the_socket_file_has_its_mode_from_the_start(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with open_unix(str(path), Settings(), mode):
        assert path.stat().st_mode & 0o777 == mode
    with pytest.raises(StartError), open_unix(str(tmp_path / "missing" / "s"), Settings(), mode):
        pass


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], ssl.SSLContext]:
    """The settings of a server with a certificate, and what a client trusts."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(directory / "cert.pem"))
    issued.private_key_pem.write_to_path(str(directory / "key.pem"))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return {"certfile": str(directory / "cert.pem"), "keyfile": str(directory / "key.pem")}, context


async def tls(server, context: ssl.SSLContext) -> Peer:
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", server.port),
        context,
        server_hostname="localhost",
        https_compatible=True,
    )
    return Peer(stream)


async def test_https_and_wss_share_the_port(certificate) -> None:
    settings, context = certificate
    async with serving(**settings) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        admin = await server.key("admin", "root")
        peer = await tls(server, context)
        await peer.send(HEALTH, post("/api/publish", {"channel": "a:b", "event": "e"}, X_Api_Key=admin))
        assert [(await peer.answer()).status for _ in range(2)] == [200, 201]
        page = await tls(server, context)  # the page's own origin is an https one
        await page.send(handshake("/blog/ws/notifications", Origin="https://localhost"))
        assert (await page.answer()).status == 101
        assert await page.close_code() == 4401


async def test_fan_out_over_tls_is_whole_and_in_order(certificate) -> None:
    settings, context = certificate
    async with serving(**settings) as server:
        admin = await server.key("admin", "root")
        peers = [await tls(server, context) for _ in range(3)]
        for peer in peers:
            await peer.upgrade(f"/blog/ws/articles/a?token={admin}")
        publisher = await tls(server, context)
        count = 200
        for number in range(count):
            body = {"channel": "article:a", "event": "e", "data": {"n": number, "x": "y" * 2000}}
            await publisher.send(post("/api/publish", body, X_Api_Key=admin))
        for _ in range(count):
            assert (await publisher.answer()).status == 201
        for peer in peers:
            for number in range(count):
                assert (await peer.text()).startswith(b'{"type":"e","n":%d,' % number)
            await peer.send(frame("p", PING), close_frame())
            assert await peer.frame() == (PONG, b"p")
            assert await peer.close_code() == 1000


async def test_a_tls_handshake_that_never_ends_is_closed_and_others_are_served(certificate) -> None:
    settings, context = certificate
    async with serving(**settings, handshake_timeout=0.3) as server:
        silent, wrong = await tcp(server), await tcp(server)
        await wrong.send(HEALTH)  # plain HTTP
        other = await tls(server, context)
        await other.send(HEALTH)
        assert (await other.answer()).status == 200
        assert await silent.ended() == b""
        assert b"HTTP/1.1" not in await wrong.ended()


async def test_an_unknown_tls_client_that_vanishes_leaves_no_fault(certificate, logs) -> None:
    settings, context = certificate
    async with serving(**settings) as server:
        peer = await tls(server, context)
        await peer.upgrade("/blog/ws/notifications")
        reset(peer.stream.transport_stream)
        other = await tls(server, context)
        await other.send(HEALTH)
        assert (await other.answer()).status == 200
    assert not any("exc_info" in line for line in logs)


async def test_a_stream_of_events_works_over_tls_also_for_a_slow_reader(certificate) -> None:
    settings, context = certificate
    async with serving(outbox=64 * 1024, **settings) as server:
        key = await server.key("admin", "root")
        stream = await ask(await tls(server, context), f"/sse/a:b?token={key}")
        first = orjson.loads((await stream.next()).data)
        events = [NewEvent("a:b", "e", b'"%d%b"' % (number, b"x" * 1000)) for number in range(1000)]
        await server.running.server.hub.publish_all(events)  # a megabyte, before it reads
        for number in range(1000):
            assert orjson.loads((await stream.next()).data)["data"].rstrip("x") == str(number)
        again = await ask(await tls(server, context), f"/sse/a:b?token={key}", Last_Event_ID=first["position"])
        assert orjson.loads((await again.next()).data)["recovered"]
        assert (await again.next()).data == orjson.dumps(
            {"channel": "a:b", "event": "e", "data": "0" + "x" * 1000}
        ).decode()
        server.running.stop()
        await stream.rest()
        assert stream.ended


@pytest.mark.parametrize("broken", ["missing", "rubbish", "keyless"])
def test_a_certificate_that_cannot_be_used_is_a_start_error(broken: str, certificate, tmp_path: Path) -> None:
    settings = dict(certificate[0])
    if broken == "missing":
        settings["certfile"] = str(tmp_path / "none.pem")
    elif broken == "rubbish":
        (tmp_path / "rubbish.pem").write_text("rubbish")
        settings["certfile"] = str(tmp_path / "rubbish.pem")
    else:
        del settings["keyfile"]
    with pytest.raises(StartError, match="certfile"):
        tls_context(Settings(**settings))


# --- the peers of a kernel


def reset(stream: trio.SocketStream) -> None:
    """End with RST in place of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"GE",
        HEALTH,
        post("/api/publish"),
        handshake("/blog/ws/notifications"),
        head("GET /api/channels/a:b/history?wait=5s"),
    ],
)
async def test_a_reset_before_the_answer_is_nobodys_fault(request_: bytes, logs) -> None:
    async with serving() as server:
        for _ in range(20):
            peer = await tcp(server)
            await peer.send(request_)
            reset(peer.stream)
        peer = await tcp(server)
        await peer.send(HEALTH)
        assert (await peer.answer()).status == 200
    assert not any("exc_info" in line for line in logs)


async def test_an_answer_larger_than_every_buffer_arrives_whole_at_a_slow_reader() -> None:
    async with serving() as server:
        admin = await server.key("admin", "root")
        peer = await tcp(server, receive_buffer=8192)
        size = 900_000
        await peer.send(post("/api/publish", {"channel": "a:b", "event": "e", "data": "x" * size}, X_Api_Key=admin))
        assert (await peer.answer()).status == 201
        await peer.send(head("GET /api/channels/a:b/history", X_Api_Key=admin), HEALTH)
        assert len((await peer.answer()).json["items"][0]["data"]) == size
        assert (await peer.answer()).status == 200


async def test_a_refused_upload_is_answered_although_the_client_is_still_sending() -> None:
    async with serving(max_body=1000) as server:
        key = await server.key("admin", "root")
        for headers in ({"Content_Length": "5000000"}, {"Transfer_Encoding": "chunked"}):
            peer = await tcp(server)
            await peer.send(head("POST /blog/v1/articles", X_Api_Key=key, **headers))

            async def upload(peer=peer) -> None:
                try:
                    for _ in range(50):
                        await peer.send(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

            async with trio.open_nursery() as nursery:
                nursery.start_soon(upload)
                assert (await peer.answer()).code == "too_large"
                nursery.cancel_scope.cancel()


async def test_a_proxy_is_believed_only_if_it_is_trusted() -> None:
    forged = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "https", "Origin": "https://localhost"}
    for trusted, expected in (((), 403), (("10.0.0.0/8",), 403), (("127.0.0.1",), 101)):
        async with serving(trusted_proxy=trusted) as server:
            peer = await tcp(server)
            assert (await peer.upgrade("/blog/ws/notifications", **forged)).status == expected


async def test_a_spoofed_address_resets_no_limit() -> None:
    async with serving(login_rate=3) as server:
        for number in range(6):
            peer = await tcp(server)
            await peer.send(head("GET /api/keys", X_Api_Key=f"rtk_{number}", X_Forwarded_For=f"203.0.113.{number}"))
            assert (await peer.answer()).status == (401 if number < 3 else 429)


async def test_when_file_descriptors_run_out_accepting_goes_on_later(tmp_path: Path) -> None:
    command = f"ulimit -n 60; exec {sys.executable} -m rtlite serve --port 0 --data {tmp_path / 'rtlite.db'}"
    process = subprocess.Popen(  # noqa: ASYNC220
        ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = await trio.to_thread.run_sync(first_line, process.stdout)
        port = int(line.rstrip().rsplit(":", 1)[1])
        with trio.fail_after(20):
            peers = [Peer(await trio.open_tcp_stream("127.0.0.1", port)) for _ in range(100)]
            for peer in peers:
                await peer.send(HEALTH)
            assert (await peers[0].answer()).status == 200
            waiting = Peer(await trio.open_tcp_stream("127.0.0.1", port))
            await waiting.send(HEALTH)
            for peer in peers:
                await trio.aclose_forcefully(peer.stream)
            assert (await waiting.answer()).status == 200
            await waiting.stream.aclose()
        process.send_signal(signal.SIGTERM)
        assert await trio.to_thread.run_sync(process.wait, 15) == 0
    finally:
        process.kill()
        process.communicate()


def first_line(stream) -> str:
    for line in stream:
        if line.startswith("rtlite ready on "):
            return line
    raise AssertionError("the server did not start")
