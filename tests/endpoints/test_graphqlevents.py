"""Channels over GraphQL: where they are, what they keep, and publishing."""

from __future__ import annotations

from tests.endpoints.asking import asking

PUBLISH = """mutation ($channel: String!, $data: JSON, $id: String) {
  publishEvent(channel: $channel, event: "said", data: $data, id: $id) {
    id channel event data timestamp offset position
  }
}"""
HISTORY = """query ($channel: String!, $since: String, $first: Int) {
  position(channel: $channel)
  history(channel: $channel, since: $since, first: $first) {
    nodes { event data offset position } pageInfo { endCursor hasNextPage }
  }
}"""


async def test_an_event_is_published_and_kept_like_any_other() -> None:
    async with asking() as scene:
        event = (await scene.backend.data(PUBLISH, channel="changes:room", data={"a": [None, 1]}))["publishEvent"]
        assert event["channel"] == "changes:room" and event["offset"] == 1 and event["data"] == {"a": [None, 1]}
        answer = await scene.reader.data(HISTORY, channel="changes:room", first=10)
        assert answer["position"] == event["position"] == answer["history"]["nodes"][0]["position"]
        again = [(await scene.backend.data(PUBLISH, channel="changes:room", id="one"))["publishEvent"] for _ in "ab"]
        assert again[0] == again[1] and again[0]["data"] is None


async def test_history_is_paged_from_a_position() -> None:
    async with asking() as scene:
        for number in range(5):
            await scene.backend.data(PUBLISH, channel="changes:room", data=number)
        seen, since, more = [], None, True
        while more:
            page = (await scene.reader.data(HISTORY, channel="changes:room", since=since, first=2))["history"]
            seen += [node["data"] for node in page["nodes"]]
            since, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
        assert seen == [0, 1, 2, 3, 4]
        await scene.backend.data(PUBLISH, channel="changes:room", data="later")
        page = (await scene.reader.data(HISTORY, channel="changes:room", since=since, first=2))["history"]
        assert [node["data"] for node in page["nodes"]] == ["later"]


async def test_a_channel_that_nothing_came_to_has_a_position() -> None:
    async with asking() as scene:
        answer = await scene.reader.data(HISTORY, channel="changes:nothing", first=1)
        assert answer["position"].endswith("-0") and answer["history"]["nodes"] == []
        assert answer["position"] == answer["history"]["pageInfo"]["endCursor"]


async def test_what_may_not_be_read_or_written_is_refused_field_by_field() -> None:
    async with asking() as scene:
        answer = await scene.user("ann").ask(
            '{ a: position(channel: "notifications:bob") b: position(channel: "notifications:ann")'
            ' c: history(channel: "jobs:x") { nodes { id } } d: position(channel: "stream:x")'
            ' e: position(channel: "a b") }'
        )
        codes = {error["path"][0]: error["extensions"]["code"] for error in answer["errors"]}
        assert codes == {"a": "forbidden", "c": "forbidden", "d": "forbidden", "e": "invalid_channel"}
        assert answer["data"]["b"]
        for asker in (scene.reader, scene.user("ann")):
            assert await asker.code(PUBLISH, channel="changes:room") == "forbidden"
        speaks = scene.user("ann", publish=["room:*"])
        assert (await speaks.data(PUBLISH, channel="room:1"))["publishEvent"]["offset"] == 1
        assert await scene.backend.code(PUBLISH, channel="room:*") == "invalid_channel"


async def test_a_channel_without_history_says_so() -> None:
    async with asking() as scene:
        operator = scene.user("ann", subscribe=["stream:x"])
        assert await operator.code('{ position(channel: "stream:x") }') == "no_history"
