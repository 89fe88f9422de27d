"""Jobs and inboxes over GraphQL: the rights and the fields of REST."""

from __future__ import annotations

from tests.endpoints.asking import asking

MAKE = 'mutation ($user: String, $id: ID) { createJob(type: "export", userId: $user, id: $id) { id status progress } }'
UPDATE = """mutation ($id: ID!, $progress: Float, $status: JobStatus, $result: JSON, $error: String) {
  updateJob(id: $id, progress: $progress, status: $status, result: $result, error: $error) {
    status progress result error userId type createdAt updatedAt
  }
}"""
ONE = "query ($id: ID!) { job(id: $id) { id status } }"
INBOX = "{ notifications { nodes { id type title message actionUrl read } } unreadCount }"


async def test_a_job_goes_from_pending_to_its_end_and_its_user_is_told() -> None:
    async with asking() as scene:
        made = (await scene.backend.data(MAKE, user="ann"))["createJob"]
        assert made == {"id": made["id"], "status": "pending", "progress": None}
        running = (await scene.backend.data(UPDATE, id=made["id"], progress=50))["updateJob"]
        assert running["status"] == "running" and running["progress"] == 50
        assert (await scene.backend.client.get(f"/jobs/{made['id']}")).text.count('"progress":50,') == 1
        done = (await scene.backend.data(UPDATE, id=made["id"], status="completed", result={"rows": [1]}))["updateJob"]
        assert done["progress"] == 100 and done["result"] == {"rows": [1]} and done["userId"] == "ann"
        assert await scene.backend.code(UPDATE, id=made["id"], status="running") == "job_over"
        (told,) = (await scene.user("ann").data(INBOX))["notifications"]["nodes"]
        assert told["type"] == "job_completed"


async def test_a_job_is_made_once_however_often_it_is_asked_for() -> None:
    async with asking() as scene:
        first, second = [(await scene.backend.data(MAKE, id="job_mine"))["createJob"] for _ in range(2)]
        assert first == second and first["id"] == "job_mine"
        assert await scene.backend.code(MAKE, id="job_mine", user="bob") == "exists"


async def test_a_user_sees_its_own_jobs_and_a_key_sees_all() -> None:
    async with asking() as scene:
        mine = (await scene.backend.data(MAKE, user="ann"))["createJob"]["id"]
        other = (await scene.backend.data(MAKE, user="bob"))["createJob"]["id"]
        ann = scene.user("ann")
        listed = "query ($user: String, $status: JobStatus) { jobs(userId: $user, status: $status) { nodes { id } } }"
        assert (await ann.data(listed))["jobs"]["nodes"] == [{"id": mine}]
        assert await ann.code(listed, user="bob") == "forbidden"
        assert (await ann.data(ONE, id=mine))["job"]["id"] == mine
        assert await ann.code(ONE, id=other) == await ann.code(ONE, id="job_none") == "forbidden"
        assert [node["id"] for node in (await scene.reader.data(listed))["jobs"]["nodes"]] == [other, mine]
        assert (await scene.reader.data(listed, user="bob"))["jobs"]["nodes"] == [{"id": other}]
        assert (await scene.reader.data(listed, status="failed"))["jobs"]["nodes"] == []
        assert (await scene.reader.data(ONE, id="job_none"))["job"] is None
        for asker in (ann, scene.reader):
            assert await asker.code(MAKE) == await asker.code(UPDATE, id=mine, progress=1) == "forbidden"


async def test_an_inbox_is_filled_by_the_backend_and_read_by_its_user() -> None:
    add = """mutation ($user: String!, $id: ID) { createNotification(
      userId: $user, type: "order", title: "Shipped", message: "No. 1", actionUrl: "/o/1", id: $id) { id read } }"""
    async with asking() as scene:
        made = [(await scene.backend.data(add, user="ann"))["createNotification"] for _ in range(3)]
        again = [(await scene.backend.data(add, user="bob", id="notif_1"))["createNotification"] for _ in range(2)]
        assert again[0] == again[1]
        ann = scene.user("ann")
        inbox = await ann.data(INBOX)
        assert [node["id"] for node in inbox["notifications"]["nodes"]] == [item["id"] for item in reversed(made)]
        assert inbox["unreadCount"] == 3 and inbox["notifications"]["nodes"][0]["actionUrl"] == "/o/1"
        read = await ann.data("mutation ($id: ID!) { markNotificationRead(id: $id) { id read } }", id=made[0]["id"])
        assert read["markNotificationRead"] == {"id": made[0]["id"], "read": True}
        unread = "{ notifications(unread: true, first: 1) { nodes { id } pageInfo { hasNextPage } } unreadCount }"
        answer = await ann.data(unread)
        assert answer["unreadCount"] == 2 and answer["notifications"]["pageInfo"]["hasNextPage"]
        assert (await ann.data("mutation { markAllNotificationsRead }"))["markAllNotificationsRead"] == 2
        assert (await ann.data(unread))["unreadCount"] == 0
        assert await ann.code('mutation { markNotificationRead(id: "notif_1") { id } }') == "not_found"


async def test_an_inbox_is_its_users_and_no_others() -> None:
    async with asking() as scene:
        for asker in (scene.reader, scene.user("bob"), scene.user("ed", role="admin")):
            assert await asker.code('{ notifications(userId: "ann") { nodes { id } } }') == "forbidden"
            assert await asker.code('{ unreadCount(userId: "ann") }') == "forbidden"
            assert await asker.code('mutation { markAllNotificationsRead(userId: "ann") }') == "forbidden"
            assert (
                await asker.code('mutation { createNotification(userId: "ann", type: "t", title: "x") { id } }')
                == "forbidden"
            )
        assert (await scene.backend.data('{ unreadCount(userId: "ann") }'))["unreadCount"] == 0
        assert await scene.backend.code("{ unreadCount }") == "invalid_request"  # it has no inbox of its own
