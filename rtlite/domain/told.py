"""The events that are made here, and the shape of their data: one for each of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypedDict

from rtlite.domain import blog, conversations, inbox
from rtlite.domain.records import RecordChange
from rtlite.store.inbox import NotificationJson
from rtlite.store.jobs import JobJson


class Notice(TypedDict):
    """What the system has to say."""

    message: str
    level: Literal["info", "warning", "error"]


SHAPES: Final[Mapping[str, Any]] = {
    "new_subscriber": blog.NewSubscriber,
    "new_comment": blog.NewComment,
    "article_reaction": blog.ArticleReaction,
    "milestone": blog.Milestone,
    "view_update": blog.ViewUpdate,
    "reaction_update": blog.ReactionUpdate,
    "notification": Notice,
    "chat_message": conversations.ChatMessage,
    "status_update": conversations.StatusUpdate,
    "notification.new": NotificationJson,
    "notification.read": inbox.NotificationRead,
    "notification.read_all": inbox.AllRead,
    **dict.fromkeys(("CREATED", "UPDATED", "DELETED", "PUBLISHED", "UNPUBLISHED"), RecordChange),
    **dict.fromkeys(("job.created", "job.progress", "job.completed", "job.failed", "job.cancelled"), JobJson),
    "message": dict[str, Any],
    "message.error": dict[str, Any],
}
"""By the names of :data:`rtlite.domain.samples.SAMPLES`."""
