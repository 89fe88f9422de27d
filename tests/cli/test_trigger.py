from __future__ import annotations

import json

import pytest

from rtlite.cli import output
from rtlite.domain.samples import SAMPLES
from tests.cli.conftest import rtlite, rtlite_process
from tests.servers import running_server


def test_the_list_names_each_sample_its_channel_and_where_it_arrives(invoke):
    listed = [json.loads(line) for line in invoke("trigger", "--list").stdout.splitlines()]
    assert [item["name"] for item in listed] == [sample.name for sample in SAMPLES]
    views = next(item for item in listed if item["name"] == "view_update")
    assert views["channel"] == "article:hello"
    assert views["data"]["slug"] == "hello"
    assert views["arrives"][0] == "/blog/ws/articles/hello"


def test_without_a_name_it_lists_readably_on_a_terminal(invoke, monkeypatch):
    monkeypatch.setattr(output, "wants_json", lambda flag: flag)
    text = invoke("trigger").stdout
    assert all(f"\n{sample.name}  " in text for sample in SAMPLES)
    assert "/blog/ws/notifications, /ws, /_events, /sse/notifications:dev" in text


async def test_every_sample_is_published_without_a_key_to_a_dev_server(dev_server):
    for sample in SAMPLES:
        done = await rtlite("trigger", sample.name.lower(), "--url", dev_server.url)
        assert done.code == 0, done.err
        (fired,) = done.json
        assert list(fired) == ["id", "channel", "event", "data", "timestamp", "offset", "epoch"]
        if not sample.channel.startswith("stream:"):  # these keep no history
            history = await dev_server.http("rtk_dev").get(f"/api/channels/{sample.channel}/history")
            assert history.json()["items"][-1:] == [fired], history.text


async def test_it_reaches_a_client_as_the_text_shows_it(dev_server):
    async with dev_server.websocket("/blog/ws/notifications", "mbk_dev") as websocket:
        await dev_server.subscribed("notifications:dev")
        await rtlite("trigger", "new_subscriber", "--url", dev_server.url)
        message = json.loads(await websocket.get_message())
    assert message["type"] == "new_subscriber"
    assert set(message["subscriber"]) == {"email", "subscribed_at"}


async def test_parts_are_replaced_by_path_with_json_or_text(dev_server):
    sets = [
        "channel=article:x",
        "event=view",
        "id=mine",
        "data.viewCount=5",
        "data.author.name=Ann Lee",
        'data.tags=["a", "b"]',
        "data.tags.1=c=d",
        'data.items=[{"price": 1}]',
        "data.items.0.price=2",
        "data.gone=null",
    ]
    arguments = [argument for item in sets for argument in ("--set", item)]
    (fired,) = (await rtlite("trigger", "view_update", *arguments, "--dev", "--url", dev_server.url)).json
    fired["data"].pop("timestamp")
    assert (fired["channel"], fired["event"], fired["id"]) == ("article:x", "view", "mine")
    assert fired["data"] == {
        "slug": "x",
        "viewCount": 5,
        "author": {"name": "Ann Lee"},
        "tags": ["a", "c=d"],
        "items": [{"price": 2}],
        "gone": None,
    }
    (whole,) = (await rtlite("trigger", "milestone", "--set", "data=[1]", "--dev", "--url", dev_server.url)).json
    assert whole["data"] == [1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("view_updat",), "Did you mean 'view_update'?"),
        (("Createt",), "Did you mean 'created'?"),
        (("xyzzy",), "rtlite trigger --list shows them."),
        (("view_update", "--set", "slug=x"), "there is no 'slug' to replace"),
        (("view_update", "--set", "data.slug.x=1"), "data.slug has no 'x'."),
        (("view_update", "--set", "data=[1]", "--set", "data.1=1"), "data has no '1'."),
    ],
)
def test_what_is_wrong_is_named(invoke, arguments, said):
    result = invoke("trigger", *arguments, "--dev")
    assert result.exit_code == 2
    assert said in result.stderr


async def test_on_a_terminal_it_says_what_went_where(dev_server, monkeypatch):
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    first, second, third = (await rtlite("trigger", "view_update", "--url", dev_server.url)).out.splitlines()
    assert first.startswith("article:hello  offset 1  id ")
    assert second.startswith('view_update  {"slug":"hello","viewCount":1042,')
    assert third == "arrives at /blog/ws/articles/hello, /ws, /_events, /sse/article:hello, /graphql/ws"


async def test_the_fixed_key_is_presented_only_to_a_server_that_says_it_is_for_development():
    async with running_server() as server:
        for command in (("trigger", "view_update"), ("publish", "article:a", "e"), ("tail", "article:a")):
            refused = await rtlite(*command, "--url", server.url)
            assert refused.code == 2
            assert "No key: give --key (or RTLITE_KEY)" in refused.err


async def test_where_no_server_is_that_is_said():
    gone = await rtlite("trigger", "view_update", "--url", "http://127.0.0.1:1")
    assert (gone.code, gone.err) == (1, "rtlite: no server answers at http://127.0.0.1:1: Connection refused\n")


async def test_as_a_process_it_prints_one_line(dev_server):
    done = await rtlite_process("trigger", "chat_message", "--url", dev_server.url)
    assert (done.code, done.err) == (0, "")
    assert done.json[0]["channel"] == "conversation:conv-123"


async def test_it_is_repeated_with_what_differs_in_a_real_system_and_the_same_with_the_same_seed(dev_server):
    repeat = ["--repeat", "4", "--every", "20ms", "--jitter", "5ms", "--url", dev_server.url]
    fired = (await rtlite("trigger", "view_update", *repeat)).json
    assert [item["data"]["viewCount"] for item in fired] == [1042, 1043, 1044, 1045]
    assert len({item["id"] for item in fired}) == 4

    async def comments() -> list[str]:
        return [
            item["data"]["comment"]["id"]
            for item in (await rtlite("trigger", "new_comment", "--seed", "7", *repeat)).json
        ]

    first = await comments()
    assert len(set(first)) == 4
    assert first == await comments()


def test_an_id_of_ones_own_is_one_events(invoke):
    result = invoke("trigger", "view_update", "--set", "id=mine", "--repeat", "2", "--dev")
    assert (result.exit_code, "each gets a new one" in result.stderr) == (2, True)
