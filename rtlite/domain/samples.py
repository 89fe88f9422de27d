"""Sample events: one of each that the protocols' references name, in exactly their shapes.

Declared once; ``rtlite trigger`` publishes them. What a sample's data says of its channel (the
slug, the user, the conversation) is read from the channel's name, so that on another channel the
data fits that one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeVar
from uuid import UUID

import attrs

from rtlite.model import now_ms, rfc3339

T = TypeVar("T")

_READERS: Final = (
    ("reader123", "reader@example.com"),
    ("ann", "ann@example.com"),
    ("bo_k", "bo@example.net"),
    ("carla", "carla@example.org"),
    ("deniz", "deniz@example.com"),
)
_COMMENTS: Final = ("Great article!", "This helped me a lot.", "Is there a second part?", "There is a typo in line 3.")
_NOTICES: Final = ("New comment on your post", "Your export is ready", "Someone follows you", "Backup finished")
_LINES: Final = ("Hello there!", "Hi! How is it going?", "All well. Did you see the draft?", "Yes, I like it.")


@attrs.frozen
class Turn:
    """Which repetition of a sample this is, from 0 on, what its ids are drawn from, and when it is (ms since 1970)."""

    number: int = 0
    random: Random = attrs.field(factory=Random)
    at: int = attrs.field(factory=now_ms)

    @property
    def time(self) -> str:
        return rfc3339(self.at)

    def in_order(self, choices: Sequence[T]) -> T:
        return choices[self.number % len(choices)]

    def hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def uuid(self) -> str:
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def before(self, minutes: int) -> str:
        return rfc3339(max(0, self.at - minutes * 60_000))


Data = Callable[[str, str, Turn], dict[str, Any]]  # of a channel's kind and name

# Doors made for a kind of channel, and those where whoever subscribes gets any channel's events.
_OF_KIND: Final = {
    "notifications": "/blog/ws/notifications",
    "article": "/blog/ws/articles/{name}",
    "stream": "/socket.io/",
}
_OF_ANY: Final = ("/ws", "/_events", "/sse/{channel}", "/graphql/ws")


@attrs.frozen
class Sample:
    """An event to try a client with.

    ``name`` is the sample's own: the event's, unless two samples share that. ``about`` is one
    line that says what happened.
    """

    name: str
    about: str
    channel: str
    fill: Data
    event: str = ""

    def data(self, channel: str, turn: Turn | None = None) -> dict[str, Any]:
        """The event's data on ``channel``, as if it happened now. Each ``turn`` differs as real ones would."""
        kind, _, name = (channel if ":" in channel else self.channel).partition(":")
        return self.fill(kind, name, turn or Turn())

    @property
    def event_name(self) -> str:
        return self.event or self.name


def doors(channel: str) -> list[str]:
    """The paths where clients get what is published on ``channel``."""
    kind, _, name = channel.partition(":")
    paths = (*((_OF_KIND[kind],) if name and kind in _OF_KIND else ()), *_OF_ANY)
    return [path.format(name=name, channel=channel) for path in paths]


def _new_subscriber(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    return {"subscriber": {"email": turn.in_order(_READERS)[1], "subscribed_at": turn.time}}


def _new_comment(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    author, body = turn.in_order(_READERS)[0], turn.in_order(_COMMENTS)
    comment = {"id": turn.uuid(), "body": body, "author": author, "createdAt": turn.time}
    return {"articleSlug": "hello", "comment": comment}


def _article_reaction(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    return {"articleSlug": "hello", "reaction": "like", "count": 12 + turn.number, "timestamp": turn.time}


def _milestone(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    views = 1000 * (turn.number + 1)
    return {"articleSlug": "hello", "milestone": views, "viewCount": views, "timestamp": turn.time}


def _view_update(kind: str, slug: str, turn: Turn) -> dict[str, Any]:
    return {"slug": slug, "viewCount": 1042 + turn.number, "timestamp": turn.time}


def _reaction_update(kind: str, slug: str, turn: Turn) -> dict[str, Any]:
    claps = turn.number // 3
    return {"slug": slug, "reactions": {"like": 12 + turn.number - claps, "clap": 3 + claps}, "timestamp": turn.time}


def _notification(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    return {"message": turn.in_order(_NOTICES), "level": "info"}


def _chat_message(kind: str, conversation: str, turn: Turn) -> dict[str, Any]:
    sender = turn.in_order(("user-456", "user-123"))
    return {"conversation_id": conversation, "sender_id": sender, "content": turn.in_order(_LINES)}


def _status_update(kind: str, entity: str, turn: Turn) -> dict[str, Any]:
    status = turn.in_order(("completed", "pending", "running"))
    return {"entity_type": kind, "entity_id": entity, "status": status}


def _notification_new(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    order = 1234 + turn.number
    return {
        "id": f"notif_{turn.hex(16)}",
        "type": "order_update",
        "title": "Order Shipped",
        "message": f"Your order #{order} has been shipped.",
        "actionUrl": f"/orders/{order}",
        "userId": user,
        "read": False,
        "createdAt": turn.time,
    }


def _notification_read(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    return {"id": f"notif_{turn.hex(16)}", "userId": user, "unread": max(0, 2 - turn.number)}


def _all_read(kind: str, user: str, turn: Turn) -> dict[str, Any]:
    return {"userId": user, "unread": 0}


def _change(type: str) -> Data:
    def change(kind: str, model: str, turn: Turn) -> dict[str, Any]:
        version = 1 if type == "CREATED" else 2 + turn.number
        name = "Blue mug" if type != "CREATED" or turn.number == 0 else f"Blue mug {turn.number + 1}"
        record = {
            # The same one each time, so that its life can be followed; but what is created is new.
            "id": "rec_3f9a1c52d07be846" if name == "Blue mug" else f"rec_{turn.hex(16)}",
            "modelKey": model,
            "naturalKey": name.lower().replace(" ", "-"),
            "data": {"name": name, "price": 12.5, "stock": 40 - turn.number % 41},
            "version": version,
            "publishedVersion": version if type == "PUBLISHED" else None,
            "createdAt": turn.time if type == "CREATED" else turn.before(90),
            # What is deleted is shown as it was last.
            "updatedAt": turn.before(30) if type == "DELETED" else turn.time,
        }
        return {"type": type, "record": record}

    return change


def _job(status: str, progress: int | None, result: Any = None, error: str | None = None) -> Data:
    def job(kind: str, id: str, turn: Turn) -> dict[str, Any]:
        return {
            "id": id,
            "type": "import",
            "status": status,
            "progress": min(99, progress + 5 * turn.number) if status == "running" and progress else progress,
            "userId": "dev",
            "result": result,
            "error": error,
            "createdAt": turn.time if status == "pending" else turn.before(2),
            "updatedAt": turn.time,
        }

    return job


def _stream_message(kind: str, stream: str, turn: Turn) -> dict[str, Any]:
    return {"level": "info", "text": f"checked {120 * (turn.number + 1)} items", "at": turn.at / 1000}


def _stream_error(kind: str, stream: str, turn: Turn) -> dict[str, Any]:
    return {"level": "error", "text": f"the upstream answered {503 - turn.number % 2}", "at": turn.at / 1000}


SAMPLES: Final = (
    # The blog's WebSocket.
    Sample("new_subscriber", "someone subscribed to the newsletter", "notifications:dev", _new_subscriber),
    Sample("new_comment", "a comment was posted on an article", "notifications:dev", _new_comment),
    Sample("article_reaction", "a reader reacted to an article", "notifications:dev", _article_reaction),
    Sample("milestone", "an article reached a number of views", "notifications:dev", _milestone),
    Sample("view_update", "an article's view count changed", "article:hello", _view_update),
    Sample("reaction_update", "an article's reactions changed", "article:hello", _reaction_update),
    # The command WebSocket.
    Sample("notification", "the system has something to say", "notifications:dev", _notification),
    Sample("chat_message", "someone wrote in a conversation", "conversation:conv-123", _chat_message),
    Sample("status_update", "a task's status changed", "task:task-789", _status_update),
    # The inbox, changes of records, jobs.
    Sample("notification.new", "a notification came into the inbox", "notifications:dev", _notification_new),
    Sample("notification.read", "a notification was read", "notifications:dev", _notification_read),
    Sample("notification.read_all", "all notifications were read", "notifications:dev", _all_read),
    Sample("CREATED", "a record was created", "changes:product", _change("CREATED")),
    Sample("UPDATED", "a record was modified", "changes:product", _change("UPDATED")),
    Sample("DELETED", "a record was deleted", "changes:product", _change("DELETED")),
    Sample("PUBLISHED", "a record's version was published", "changes:product", _change("PUBLISHED")),
    Sample("UNPUBLISHED", "a record was unpublished", "changes:product", _change("UNPUBLISHED")),
    Sample("job.created", "a job was made", "jobs:job_9", _job("pending", None)),
    Sample("job.progress", "a job went on", "jobs:job_9", _job("running", 40)),
    Sample("job.completed", "a job is done", "jobs:job_9", _job("completed", 100, {"imported": 120, "skipped": 3})),
    Sample("job.failed", "a job went wrong", "jobs:job_9", _job("failed", 40, error="row 12 has no price")),
    Sample("job.cancelled", "a job was given up", "jobs:job_9", _job("cancelled", 40)),
    # Streams: a script's standard output, and its errors.
    Sample("message", "a script wrote a message", "stream:dwd23RWdwE", _stream_message),
    Sample("message.error", "a script wrote an error", "stream:dwd23RWdwE:errors", _stream_error, "message"),
)


def find(name: str) -> Sample | None:
    """The sample of this name, in whatever case."""
    return next((sample for sample in SAMPLES if sample.name.lower() == name.lower()), None)
