from __future__ import annotations

import time

import trio

from tests.cli.conftest import Done, rtlite
from tests.servers import running_server


async def test_a_key_that_may_not_is_told_so_in_one_line(dev_server):
    key = await dev_server.key("blog", "bob")
    refused = await rtlite("publish", "article:a", "e", "--url", dev_server.url, "--key", key)
    assert refused.code == 1
    assert refused.err == "rtlite: channel: this credential may not publish to it (403 forbidden)\n"
    for command in (("keys", "list"), ("publish", "article:a", "e"), ("tail", "article:a")):
        refused = await rtlite(*command, "--url", dev_server.url, "--key", "rtk_wrong")
        assert (refused.code, refused.err) == (1, "rtlite: the credential is not valid (401 unauthorized)\n")


async def test_publish_says_with_which_id_to_try_again_when_it_gave_up():
    gone = await rtlite("publish", "a", "e", "--dev", "--url", "http://127.0.0.1:1", "--retry-for", "0.1s", "--id", "x")
    assert gone.code == 1
    assert gone.err == (
        "rtlite: no server answers at http://127.0.0.1:1: Connection refused;"
        " gave up after 0.1 s (to try again: --id x)\n"
    )


async def test_without_a_key_too_publish_waits_for_the_server(unused_port):
    url = f"http://127.0.0.1:{unused_port}"
    began = time.monotonic()
    gone = await rtlite("publish", "a", "e", "--url", url, "--retry-for", "1s", "--id", "x")
    assert time.monotonic() - began >= 0.375  # two waits at least, of 0.125 s and 0.25 s or longer
    assert gone.err == (
        f"rtlite: no server answers at {url}: Connection refused; gave up after 1 s (to try again: --id x)\n"
    )
    done: list[Done] = []

    async def publish() -> None:
        done.append(await rtlite("publish", "article:a", "e", "--url", url))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(publish)
        await trio.sleep(0.3)  # it has asked at least once
        async with running_server(dev=True, port=unused_port):
            with trio.fail_after(20):
                while not done:  # noqa: ASYNC110
                    await trio.sleep(0.02)
    assert done[0].json[0]["offset"] == 1


async def test_commands_reach_a_server_on_a_unix_socket(tmp_path):
    async with running_server(dev=True, uds=str(tmp_path / "door")):
        done = await rtlite("publish", "article:a", "e", "--dev", "--url", f"http+unix:{tmp_path / 'door'}")
    assert done.json[0]["offset"] == 1


async def test_the_socket_beside_the_database_needs_no_key_and_any_other_wants_one(tmp_path):
    door = str(tmp_path / "door")
    async with running_server(data=str(tmp_path / "a.db"), uds=door):
        done = await rtlite("publish", "article:a", "e", "--url", f"http+unix:{tmp_path / 'a.db.sock'}")
        refused = await rtlite("publish", "article:a", "e", "--url", f"http+unix:{door}")
    assert done.json[0]["offset"] == 1
    assert (refused.code, refused.err) == (1, "rtlite: a credential is needed (401 unauthorized)\n")
