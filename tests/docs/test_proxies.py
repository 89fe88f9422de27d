"""The proxies' configurations, as the docs show them, in front of a server: what they must do right is seen."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trio_websocket
import trustme

from rtlite.endpoints.docpages import text
from tests.docs.blocks import blocks_of
from tests.docs.printed import free_port, stop_group
from tests.servers import InProcess, running_server

PAGE = blocks_of("proxies", text("proxies"))
NGINX = """
daemon off; pid nginx.pid; error_log error.log;
events {}
http {
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    %s
}
"""


def shown(language: str, mark: str) -> str:
    """The one block of the page that has ``mark`` in it."""
    (found,) = [block.code for block in PAGE if block.language == language and mark in block.code]
    return found


def nginx(folder: Path, port: int, server: InProcess) -> list[str]:
    conf = shown("nginx", "live.example").replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    conf = conf.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    conf = conf.replace("/etc/ssl/", f"{folder}/")
    (folder / "nginx.conf").write_text(NGINX % conf)
    return ["nginx", "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]


def caddy(folder: Path, port: int, server: InProcess) -> list[str]:
    conf = shown("caddyfile", "live.example").replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    conf = conf.replace("live.example {", f"https://live.example:{port} {{\n\ttls live.example.pem live.example.key")
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{conf}")
    return ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]


@asynccontextmanager
async def proxied(
    start: Callable[[Path, int, InProcess], list[str]], folder: Path
) -> AsyncIterator[tuple[InProcess, int, ssl.SSLContext]]:
    """A server behind a proxy that speaks TLS for ``live.example``, on this port."""
    authority = trustme.CA()
    certificate = authority.issue_cert("live.example")
    certificate.private_key_pem.write_to_path(folder / "live.example.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(folder / "live.example.pem", append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    port = free_port()
    settings = {"public_url": "https://live.example", "trusted_proxy": ("127.0.0.1",)}
    async with running_server(**settings) as server:
        command = start(folder, port, server)
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed")
        environment = {"HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        with (folder / "log").open("w") as log:
            process = await trio.lowlevel.open_process(
                [shutil.which(command[0]) or "", *command[1:]],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with trio.fail_after(20):
                while process.returncode is None:
                    try:
                        (await trio.open_tcp_stream("127.0.0.1", port)).socket.close()
                        break
                    except OSError:
                        await trio.sleep(0.05)  # it says nowhere when it listens
            assert process.returncode is None, (folder / "log").read_text()
            yield server, port, context
        finally:
            await stop_group(process)


async def opened(port: int, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream]:
    tcp = await trio.open_tcp_stream("127.0.0.1", port)
    return trio.SSLStream(tcp, context, server_hostname="live.example", https_compatible=True)


async def received(stream: trio.SSLStream[trio.SocketStream], wanted: bytes) -> None:
    """Read until this has come."""
    data = b""
    with trio.fail_after(5):
        while wanted not in data:
            more = await stream.receive_some()
            assert more, data
            data += more


@pytest.mark.parametrize("start", [nginx, caddy], ids=["nginx", "Caddy"])
async def test_a_proxy_set_up_as_shown_passes_everything_on_at_once(
    start: Callable[[Path, int, InProcess], list[str]], tmp_path: Path
) -> None:
    async with proxied(start, tmp_path) as (server, port, context):
        key = await server.key("admin", "operator")
        async with httpx.AsyncClient(verify=context, trust_env=False, timeout=10) as http:
            url = f"https://127.0.0.1:{port}"
            ask = partial(http.request, headers={"Host": "live.example", "X-Api-Key": key}, extensions=SNI)
            # The name, and who asks: the proxy's word counts, not the client's.
            assert (await ask("GET", url + "/readyz")).json() == {"status": "ready"}
            elsewhere = await ask("GET", url + "/readyz", headers={"Host": "evil.example"})
            assert "ready" not in elsewhere.text
            # An event reaches its reader while the answer goes on.
            async with await opened(port, context) as reader:
                fields = {"Host": "live.example", "X-Api-Key": key, "X-Forwarded-For": "203.0.113.9"}
                head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
                await reader.send_all(f"GET /sse/article:hello HTTP/1.1\r\n{head}\r\n".encode())
                await received(reader, b"event: connected")
                (listed,) = (await ask("GET", url + "/api/connections")).json()["items"]
                assert listed["address"] == "127.0.0.1"
                event = {"channel": "article:hello", "event": "view_update", "data": {"viewCount": 7}}
                assert (await ask("POST", url + "/api/publish", json=event)).status_code == 201
                await received(reader, b"viewCount")
        # A WebSocket of a page of the public origin, over TLS.
        async with await opened(port, context) as stream, trio.open_nursery() as nursery:
            headers = [(b"Origin", b"https://live.example"), (b"X-Api-Key", key.encode())]
            with trio.fail_after(10):
                socket = await trio_websocket.wrap_client_stream(
                    nursery, stream, "live.example", "/blog/ws/articles/hello?since=1h", extra_headers=headers
                )
                while "viewCount" not in await socket.get_message():
                    pass
                await socket.aclose()
            nursery.cancel_scope.cancel()


SNI = {"sni_hostname": "live.example"}


def test_both_proxies_are_told_what_the_page_says_they_must_do() -> None:
    conf = shown("nginx", "live.example")
    for directive in ("proxy_buffering off", "proxy_request_buffering off", "proxy_read_timeout 1h", "Host $host"):
        assert re.search(rf"{re.escape(directive)};", conf), directive
    assert "flush_interval -1" in shown("caddyfile", "live.example")
