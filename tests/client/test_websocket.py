from __future__ import annotations

import pytest
import trio
import trustme

from rtlite.client import Client, websocket
from rtlite.client.failures import CallFailed
from rtlite.client.websocket import open_websocket
from tests.cli.conftest import rtlite
from tests.servers import running_server


async def test_it_presents_the_key_in_a_header_and_closes_with_the_block(dev_server):
    connections = dev_server.running.server.connections
    async with Client(dev_server.url, "rtk_dev") as client, open_websocket(client, "/_events") as socket:
        await socket.send_message('{"type":"ping"}')
        assert await socket.get_message() == '{"type":"pong","event":"pong","data":{}}'
        assert len(connections) == 1
    with trio.fail_after(5):
        while len(connections):  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_what_the_block_raises_comes_as_itself(dev_server):
    async with Client(dev_server.url, "rtk_dev") as client:
        with pytest.raises(ZeroDivisionError):
            async with open_websocket(client, "/_events"):
                raise ZeroDivisionError


async def test_a_path_without_a_websocket_is_said(dev_server):
    async with Client(dev_server.url, "rtk_dev") as client:
        with pytest.raises(CallFailed, match=r"answers, but with no WebSocket \(404\)") as failed:
            async with open_websocket(client, "/nothing"):
                pass
    assert not failed.value.temporary


async def test_where_nobody_listens_is_said_and_may_change():
    async with Client("http://127.0.0.1:1") as client:
        with pytest.raises(
            CallFailed, match=r"no server answers at http://127\.0\.0\.1:1: Connection refused"
        ) as failed:
            async with open_websocket(client, "/_events"):
                pass
    assert failed.value.temporary


async def test_a_server_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(websocket, "_OPEN_SECONDS", 0.1)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        async with Client(url) as client:
            with pytest.raises(CallFailed, match="no server answers"):
                async with open_websocket(client, "/_events"):
                    pass


@pytest.mark.parametrize("via", ["sse", "ws", "poll"])
async def test_over_tls_with_an_authority_that_the_environment_names(tmp_path, monkeypatch, via):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pem = str(tmp_path / "server.pem")
    async with running_server(dev=True, certfile=pem, keyfile=pem) as server:
        url = ["--url", f"https://localhost:{server.port}"]
        async with Client(url[1], "rtk_dev") as client:
            with pytest.raises(CallFailed, match="its certificate is not trusted: unable to get local issuer"):
                async with open_websocket(client, "/_events"):
                    pass
            with pytest.raises(CallFailed, match="its certificate is not trusted: unable to get local issuer"):
                await client.call("GET", "/healthz")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await rtlite("publish", "article:a", "e", "1", *url)).code == 0
        done = await rtlite("tail", "article:a", "--since", "1h", "--count", "1", "--via", via, *url)
    assert done.code == 0, done.err
    assert done.json[0]["data"] == 1
