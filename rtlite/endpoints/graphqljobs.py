"""Jobs and inboxes over GraphQL."""

from __future__ import annotations

from typing import Any

from rtlite.auth.grants import check_backend
from rtlite.domain.access import Access
from rtlite.domain.inbox import Inbox
from rtlite.domain.jobs import Jobs, channel_of
from rtlite.endpoints.resolvers import Field, check_first, connection
from rtlite.errors import Forbidden, NotFound
from rtlite.model import Identity
from rtlite.settings import Settings


class JobFields:
    def __init__(self, jobs: Jobs, inbox: Inbox, access: Access, settings: Settings) -> None:
        self._jobs = jobs
        self._inbox = inbox
        self._access = access
        self._settings = settings

    def fields(self) -> dict[str, Field]:
        return {
            "job": self._job,
            "jobs": self._list_jobs,
            "notifications": self._notifications,
            "unreadCount": self._unread,
            "createJob": self._create_job,
            "updateJob": self._update_job,
            "createNotification": self._notify,
            "markNotificationRead": self._mark_read,
            "markAllNotificationsRead": self._mark_all_read,
        }

    async def _job(self, identity: Identity, id: str) -> Any:
        if not await self._access.may_read(identity, channel_of(id)):
            raise Forbidden("this credential may not see that job")
        try:
            return (await self._jobs.find(id)).as_json()
        except NotFound:
            return None

    async def _list_jobs(
        self,
        identity: Identity,
        first: int | None,
        status: str | None = None,
        userId: str | None = None,
        after: str | None = None,
    ) -> Any:
        user = self._access.whose_jobs(identity, userId)
        limit = check_first(first, self._settings.max_page)
        return connection(*await self._jobs.page(user=user, status=status, after=after, limit=limit))

    async def _create_job(self, identity: Identity, type: str, userId: str | None = None, id: str | None = None) -> Any:
        check_backend(identity)
        job, _ = await self._jobs.create(type, userId, id)
        return job.as_json()

    async def _update_job(
        self,
        identity: Identity,
        id: str,
        progress: float | None = None,
        status: str | None = None,
        result: Any = None,
        error: str | None = None,
    ) -> Any:
        check_backend(identity)
        if progress is not None and progress.is_integer():  # 50, as it was written
            progress = int(progress)
        job = await self._jobs.update(id, progress=progress, status=status, result=result, error=error)
        return job.as_json()

    async def _notifications(
        self,
        identity: Identity,
        first: int | None,
        unread: bool | None = False,
        userId: str | None = None,
        after: str | None = None,
    ) -> Any:
        user = self._access.whose_inbox(identity, userId)
        limit = check_first(first, self._settings.max_page)
        return connection(*await self._inbox.page(user, unread=bool(unread), after=after, limit=limit))

    async def _unread(self, identity: Identity, userId: str | None = None) -> int:
        return await self._inbox.unread(self._access.whose_inbox(identity, userId))

    async def _notify(
        self,
        identity: Identity,
        userId: str,
        type: str,
        title: str,
        message: str | None = None,
        actionUrl: str | None = None,
        id: str | None = None,
    ) -> Any:
        check_backend(identity)
        notification, _ = await self._inbox.add(userId, type, title, message, actionUrl, id)
        return notification.as_json()

    async def _mark_read(self, identity: Identity, id: str, userId: str | None = None) -> Any:
        user = self._access.whose_inbox(identity, userId, own=True)
        return (await self._inbox.read(user, id)).as_json()

    async def _mark_all_read(self, identity: Identity, userId: str | None = None) -> int:
        return await self._inbox.read_all(self._access.whose_inbox(identity, userId, own=True))
