"""Jobs over HTTP: the backend says what it works on, users see what is theirs."""

from __future__ import annotations

from typing import Annotated, Any

import attrs

from rtlite.auth.grants import check_backend
from rtlite.domain import access as rights
from rtlite.domain.jobs import Jobs, channel_of
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import BY_NUMBER, Page, page_reply, page_size
from rtlite.errors import Forbidden
from rtlite.protocols import jsonframes
from rtlite.rules import EventId, EventName, Percent, Rule, UserInChannel, of
from rtlite.settings import Settings
from rtlite.store.jobs import JobJson, Status
from rtlite.transports.contract import JSON, UNKNOWN, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply


@attrs.frozen
class NewJob:
    type: EventName
    userId: UserInChannel | None = None
    id: EventId | None = None


@attrs.frozen
class JobChange:
    progress: Percent = None
    status: Status | None = None
    result: Any = None
    error: Annotated[str, Rule(maxLength=of("job_bytes"))] | None = None


class JobsEndpoint:
    def __init__(self, jobs: Jobs, access: rights.Access, settings: Settings) -> None:
        self._jobs = jobs
        self._access = access
        self._settings = settings

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        return [
            Route(
                "POST",
                "/jobs",
                self.create,
                "Create a job",
                key,
                lean=True,
                publishing=True,
                takes=Body({JSON: NewJob}, example=example("job.created", "type", "userId")),
                gives={201: JobJson, 200: JobJson},
                refuses={409: "exists"},
            ),
            Route(
                "GET",
                "/jobs",
                self.list,
                "Jobs, the newest first",
                key,
                asks=[Asked("userId"), Asked("status", Status), *BY_NUMBER],
                gives={200: Page[JobJson]},
            ),
            Route("GET", "/jobs/{id}", self.show, "A job", key, gives={200: JobJson}, refuses=UNKNOWN),
            Route(
                "PATCH",
                "/jobs/{id}",
                self.update,
                "Say how far a job is",
                key,
                lean=True,
                publishing=True,
                takes=Body({JSON: JobChange}, example=example("job.progress", "status", "progress")),
                gives={200: JobJson},
                refuses={**UNKNOWN, 409: "job_over job_running"},
            ),
        ]

    async def create(self, call: Call) -> Reply:
        """Again with the same id, type and user: 200 and the job as it is."""
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, NewJob)
        job, new = await self._jobs.create(wanted.type, wanted.userId, wanted.id)
        return json_reply(job.as_json(), 201 if new else 200)

    async def list(self, call: Call) -> Reply:
        """``?userId=&status=&limit=&after=``; an end user's own, where it may not see all."""
        user = self._access.whose_jobs(call.identity, call.query.get("userId"))
        limit = page_size(call, self._settings.max_page)
        found, following = await self._jobs.page(
            user=user, status=call.query.get("status"), after=call.query.get("after"), limit=limit
        )
        return page_reply(found, following)

    async def show(self, call: Call) -> Reply:
        """For whoever may read the job's channel. To an end user, a job that does not exist is another's."""
        if not await self._access.may_read(call.identity, channel_of(call.params["id"])):
            raise Forbidden("this credential may not see that job")
        return json_reply((await self._jobs.find(call.params["id"])).as_json())

    async def update(self, call: Call) -> Reply:
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, JobChange)
        job = await self._jobs.update(
            call.params["id"],
            progress=wanted.progress,
            status=wanted.status,
            result=wanted.result,
            error=wanted.error,
        )
        return json_reply(job.as_json())
