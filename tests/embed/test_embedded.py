"""A server inside a Trio program."""

from __future__ import annotations

import logging

import httpx
import orjson
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

import rtlite
import rtlite.embed.started
from rtlite.errors import InvalidRequest, NotFound, StartError, TooLarge
from tests.servers import running_server


async def test_what_is_published_inside_is_heard_outside_and_the_other_way_round() -> None:
    async with rtlite.open() as rt:
        key = await rt.key("project", "shop", write=True)
        async with (
            rtlite.Client(rt.url, key) as client,
            client.subscribe("changes:a") as outside,
            rt.listen("changes:a") as inside,
        ):
            receipt = await rt.publish("changes:a", "one", {"n": 1}, "mine")
            await client.publish("changes:a", "two", {"n": 2})
            with trio.fail_after(10):
                heard = [await anext(inside), await anext(inside)]
                assert [await anext(outside), await anext(outside)] == [
                    {name: value for name, value in event.items() if name != "epoch"} for event in heard
                ]
        assert receipt["id"] == "mine"
        assert [event["data"] for event in heard] == [{"n": 1}, {"n": 2}]


async def test_history_and_listening_resume_from_each_other() -> None:
    async with rtlite.open(port=None) as rt:
        for number in range(5):
            await rt.publish("article:a", "e", number)
        page = await rt.history("article:a", limit=2)
        assert [item["data"] for item in page["items"]] == [0, 1]
        async with rt.listen("article:a", since=page["next"]) as events:
            with trio.fail_after(10):
                assert [(await anext(events))["data"] for _ in range(3)] == [2, 3, 4]
        async with rt.listen("article:*", "changes:a", since="1h") as events:
            await rt.publish("changes:a", "e", 5)
            with trio.fail_after(10):
                found = [await anext(events) for _ in range(6)]
        assert [event["data"] for event in found] == list(range(6))
        async with rt.listen("article:*", "changes:a", since=found[3]["position"]) as events:
            with trio.fail_after(10):
                assert (await anext(events))["data"] == 4


async def test_socketio_namespaces_of_the_program_are_beside_ours() -> None:
    echo = rtlite.Namespace("/echo")

    @echo.on("message")
    async def message(socket, *args):
        return args

    async def poll(client: httpx.AsyncClient, body: str = "") -> str:
        method, content = ("POST", body) if body else ("GET", None)
        with trio.fail_after(10):
            return (await client.request(method, "/socket.io/", params=query, content=content)).text

    async with rtlite.open(namespaces=[echo]) as rt, httpx.AsyncClient(base_url=rt.url) as client:
        query = {"EIO": "4", "transport": "polling"}
        query["sid"] = orjson.loads((await poll(client))[1:])["sid"]
        await poll(client, "40/echo,")
        assert (await poll(client)).startswith('40/echo,{"sid":')
        await poll(client, '42/echo,7["message",1,"a"]')
        assert await poll(client) == '43/echo,7[1,"a"]'


@pytest.mark.parametrize("name", ["/", "/echo", "echo"])
async def test_a_namespace_that_is_served_already_or_is_none_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(StartError, match="namespaces: "):
        async with rtlite.open(port=None, namespaces=[rtlite.Namespace("/echo"), rtlite.Namespace(name)]):
            pass


async def test_without_a_port_nothing_listens() -> None:
    async with rtlite.open(port=None) as rt:
        assert (rt.url, rt.port) == ("", None)
        assert (await rt.publish("article:a", "e"))["offset"] == 1


async def test_whatever_http_does_is_done_without_it() -> None:
    async with rtlite.open(port=None) as rt:
        article = await rt.call("POST", "/blog/v1/articles", {"slug": "a", "title": "A", "author": "ann"})
        assert article["author"] == "ann"
        for visitor in ("one", "two", "one"):
            await rt.call("POST", "/blog/v1/articles/a/views", {"visitor": visitor})
        assert (await rt.call("GET", "/blog/v1/articles/a"))["viewCount"] == 2
        for number in range(3):
            await rt.publish("article:b", "e", number)
        page = await rt.call("GET", "/api/channels/article%3Ab/history", query={"order": "desc", "limit": "1"})
        assert [item["data"] for item in page["items"]] == [2]
        await rt.call("PUT", "/collab/notes/document", {"content": "Hello"})
        text = await rt.call("GET", "/collab/notes/document", query={"format": "text"})
        assert text == b"Hello"
        assert await rt.call("DELETE", "/collab/notes") is None
        answer = await rt.call("POST", "/graphql", {"query": '{ records(modelKey: "mug") { nodes { id } } }'})
        assert answer == {"data": {"records": {"nodes": []}}}


async def test_what_http_refuses_is_refused_without_it_by_the_same_code() -> None:
    async with rtlite.open(port=None, max_body=100) as rt:
        with pytest.raises(NotFound, match="no such article"):
            await rt.call("GET", "/blog/v1/articles/none")
        with pytest.raises(NotFound, match="no such path"):
            await rt.call("GET", "/nowhere")
        with pytest.raises(rtlite.Refused) as refused:
            await rt.call("DELETE", "/jobs")
        assert refused.value.code == "method_not_allowed"
        with pytest.raises(TooLarge):
            await rt.call("POST", "/jobs", {"type": "x" * 200})
        with pytest.raises(InvalidRequest, match="body: no JSON value"):
            await rt.call("POST", "/jobs", object())
    with pytest.raises(rtlite.Closed):
        await rt.call("GET", "/jobs")


async def test_a_slow_listener_holds_nobody_up_and_misses_nothing() -> None:
    async with rtlite.open(port=None, outbox="4KiB") as rt, rt.listen("article:a") as events:
        with trio.fail_after(20):
            for number in range(200):
                await rt.publish("article:a", "e", {"number": number, "filler": "x" * 100})
            assert [(await anext(events))["data"]["number"] for _ in range(200)] == list(range(200))


async def test_what_retention_took_is_raised_or_told_and_the_iterator_goes_on() -> None:
    async with rtlite.open(port=None, max_replay=1) as rt:
        for number in range(3):
            await rt.publish("article:a", "e", number)
        with trio.fail_after(10):
            async with rt.listen("article:a", since="1h") as events:
                with pytest.raises(rtlite.HistoryLost):
                    await anext(events)
                assert (await anext(events))["data"] == 2
            told: list[str] = []
            async with rt.listen("article:a", since="1h", on_gap=told.append) as events:
                assert (await anext(events))["data"] == 2
            assert told == ["article:a"]


async def test_a_slow_listener_where_nothing_is_kept_learns_what_it_lost() -> None:
    settings = {"outbox": "1KiB", "channels": {"note": {"history": False}}}
    async with rtlite.open(port=None, **settings) as rt, rt.listen("note:a") as events:
        for _ in range(30):
            await rt.publish("note:a", "e", "x" * 100)
        with trio.fail_after(10), pytest.raises(rtlite.HistoryLost):
            while True:
                await anext(events)
        await rt.publish("note:a", "after")
        with trio.fail_after(10):
            assert (await anext(events))["event"] == "after"


async def test_closed_listening_ends_and_nobody_subscribes_any_more() -> None:
    async with rtlite.open(port=None) as rt:
        async with rt.listen("article:a") as events, trio.open_nursery() as nursery:

            async def closer() -> None:
                await trio.testing.wait_all_tasks_blocked(0.01)
                events.close()

            nursery.start_soon(closer)
            assert [event async for event in events] == []
        assert not rt._server.hub.fanout.topics


async def test_what_was_acknowledged_is_there_after_the_block_even_if_it_was_cancelled(tmp_path) -> None:
    file = tmp_path / "a.db"
    with trio.CancelScope() as scope:
        async with rtlite.open(file) as rt:
            key = rt.admin_key
            await rt.publish("article:a", "e", 1)
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    async with rtlite.open(file) as rt:
        assert rt.admin_key is None  # shown once
        assert [item["data"] for item in (await rt.history("article:a"))["items"]] == [1]
        async with rtlite.Client(rt.url, key) as client:
            assert len((await client.history("article:a"))["items"]) == 1


async def test_after_the_block_nothing_is_taken_any_more() -> None:
    async with rtlite.open(port=None) as rt:
        pass
    with trio.fail_after(5):
        with pytest.raises(rtlite.Closed):
            await rt.publish("article:a", "e")
        with pytest.raises(rtlite.Closed):
            await rt.history("article:a")
        with pytest.raises(rtlite.Closed):
            rt.listen("article:a")
        with pytest.raises(rtlite.Closed):
            await rt.key("blog", "alice")


async def test_what_the_block_raises_comes_as_itself() -> None:
    with pytest.raises(KeyError):
        async with rtlite.open(port=None):
            raise KeyError


async def test_what_cannot_start_says_why_in_one_line(tmp_path) -> None:
    with pytest.raises(StartError, match="did you mean max_replay"):
        async with rtlite.open(max_repaly=1):
            raise AssertionError("the block must not begin")
    async with rtlite.open(tmp_path / "a.db", port=None):
        with pytest.raises(StartError):
            async with rtlite.open(tmp_path / "a.db", port=None):
                raise AssertionError("the block must not begin")


async def test_arguments_that_cannot_be_are_refused() -> None:
    async with rtlite.open(port=None, max_body=100, channels={"note": {"history": False}}) as rt:
        with pytest.raises(InvalidRequest):
            await rt.publish("article:*", "e")
        with pytest.raises(InvalidRequest, match="data: no JSON value: Type is not JSON serializable"):
            await rt.publish("article:a", "e", object())
        with pytest.raises(TooLarge):
            await rt.publish("article:a", "e", "x" * 200)
        with pytest.raises(InvalidRequest):
            await rt.history("article:a", limit=0)
        with pytest.raises(NotFound):
            await rt.history("note:a")
        with pytest.raises(InvalidRequest):
            rt.listen("article:a", since="no such place")
        with pytest.raises(InvalidRequest):
            rt.token("alice", role="king")
        with pytest.raises(InvalidRequest):
            await rt.key("jwt", "alice")


async def test_a_token_is_its_users() -> None:
    async with rtlite.open() as rt, rtlite.Client(rt.url, rt.token("alice", subscribe=["room:1"])) as client:
        async with client.subscribe("room:1") as events:
            await rt.publish("room:1", "hello")
            with trio.fail_after(10):
                assert (await anext(events))["event"] == "hello"
        with pytest.raises(rtlite.CallFailed):
            await client.publish("room:1", "hello")


async def test_the_programs_logging_gets_our_lines_without_secrets(caplog, capsys) -> None:
    caplog.set_level(logging.DEBUG)
    async with rtlite.open(port=None):
        rtlite.embed.started.log.warning("see this", header="rtk_" + "a" * 30)
    assert "see this" in caplog.text
    assert "rtk_aaaa" not in caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert capsys.readouterr().out == ""


async def test_an_application_of_the_programs_own_answers_beside_us() -> None:
    app = QuartTrio("shop")
    life: list[str] = []

    @app.before_serving
    async def begin() -> None:
        life.append("begin")

    @app.after_serving
    async def end() -> None:
        life.append("end")

    @app.route("/", methods=["GET", "POST"])
    async def index() -> str:
        from quart import request

        return f"shop {request.method} {(await request.get_data()).decode()}"

    @app.route("/broken")
    async def broken() -> str:
        raise RuntimeError("by mistake")

    async with rtlite.open(dev=True, app=app) as rt:
        assert life == ["begin"]
        async with httpx.AsyncClient(base_url=rt.url, trust_env=False, verify=False) as http:
            assert (await http.get("/")).text == "shop GET "
            assert (await http.post("/", content=b"one")).text == "shop POST one"
            assert (await http.get("/healthz")).json()["dev"] is True
            assert "<title>rtlite</title>" in (await http.get("/console")).text
            assert (await http.get("/nowhere")).status_code == 404
            assert (await http.get("/nowhere")).headers["content-type"].startswith("text/html")
            assert (await http.get("/broken")).status_code == 500
            assert (await http.put("/api/publish")).status_code == 405  # the path is ours
            async with rtlite.Client(rt.url, "rtk_dev") as client, client.subscribe("article:a") as events:
                await rt.publish("article:a", "e", 1)
                with trio.fail_after(10):
                    assert (await anext(events))["data"] == 1
    assert life == ["begin", "end"]


async def test_an_application_that_does_not_start_is_a_start_error() -> None:
    app = QuartTrio("shop")

    @app.before_serving
    async def begin() -> None:
        raise RuntimeError("no database")

    with pytest.raises(StartError, match="application"):
        async with rtlite.open(app=app):
            raise AssertionError("the block must not begin")


async def test_a_plain_asgi_application_without_a_lifespan_will_do() -> None:
    async def app(scope, receive, send) -> None:
        assert scope["type"] == "http"
        assert scope["state"] == {}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mine"})

    async with rtlite.open(app=app) as rt, httpx.AsyncClient(base_url=rt.url, trust_env=False, verify=False) as http:
        assert (await http.get("/")).text == "mine"


async def test_a_server_of_the_command_line_has_no_guest() -> None:
    async with running_server() as server:
        assert "<title>rtlite</title>" in (await server.http().get("/")).text
