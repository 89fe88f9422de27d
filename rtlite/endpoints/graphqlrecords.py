"""Records and models over GraphQL."""

from __future__ import annotations

from typing import Any

from rtlite.auth.grants import check_backend
from rtlite.domain.access import Access
from rtlite.domain.models import Models, channel_of
from rtlite.domain.records import Records
from rtlite.endpoints.resolvers import Field, check_first, connection
from rtlite.errors import Forbidden, InvalidRequest, NotFound
from rtlite.model import Identity
from rtlite.settings import Settings


class RecordFields:
    def __init__(self, records: Records, models: Models, access: Access, settings: Settings) -> None:
        self._records = records
        self._models = models
        self._access = access
        self._settings = settings

    def fields(self) -> dict[str, Field]:
        return {
            "record": self._record,
            "records": self._list_records,
            "recordVersions": self._versions,
            "models": self._list_models,
            "createRecord": self._create,
            "updateRecord": self._update,
            "replaceRecord": self._replace,
            "deleteRecord": self._delete,
            "publishRecord": self._publish,
            "unpublishRecord": self._unpublish,
        }

    async def _record(
        self,
        identity: Identity,
        modelKey: str,
        id: str | None = None,
        naturalKey: str | None = None,
        published: bool | None = False,
    ) -> Any:
        await self._check_reads(identity, modelKey)
        if (id is None) == (naturalKey is None):
            raise InvalidRequest("id, naturalKey: one of the two is wanted")
        try:
            if id is not None:
                found = await self._records.find(modelKey, id, published=bool(published))
            else:
                found = await self._records.find_by_natural_key(modelKey, str(naturalKey), published=bool(published))
            return found.as_json()
        except NotFound:
            return None

    async def _list_records(
        self,
        identity: Identity,
        modelKey: str,
        first: int | None,
        filter: Any = None,
        orderBy: str | None = None,
        published: bool | None = False,
        after: str | None = None,
    ) -> Any:
        await self._check_reads(identity, modelKey)
        limit = check_first(first, self._settings.max_page)
        found, following = await self._records.page(
            modelKey, filters=filter, order=orderBy, after=after, limit=limit, published=bool(published)
        )
        return connection(found, following)

    async def _versions(
        self, identity: Identity, modelKey: str, id: str, first: int | None, after: str | None = None
    ) -> Any:
        await self._check_reads(identity, modelKey)
        found, following = await self._records.versions(
            modelKey, id, after, check_first(first, self._settings.max_page)
        )
        return connection(found, following)

    async def _list_models(self, identity: Identity, first: int | None, after: str | None = None) -> Any:
        check_backend(identity)
        limit = check_first(first, self._settings.max_page)
        return connection(*await self._models.list(after or "", limit))

    async def _create(
        self, identity: Identity, modelKey: str, data: Any, naturalKey: str | None = None, id: str | None = None
    ) -> Any:
        check_backend(identity)
        return (await self._records.create(modelKey, data, naturalKey, id)).as_json()

    async def _update(self, identity: Identity, modelKey: str, id: str, data: Any, version: int | None = None) -> Any:
        check_backend(identity)
        return (await self._records.change(modelKey, id, data, merge=True, version=version)).as_json()

    async def _replace(self, identity: Identity, modelKey: str, id: str, data: Any, version: int | None = None) -> Any:
        check_backend(identity)
        return (await self._records.change(modelKey, id, data, merge=False, version=version)).as_json()

    async def _delete(self, identity: Identity, modelKey: str, id: str, version: int | None = None) -> Any:
        check_backend(identity)
        return (await self._records.delete(modelKey, id, version=version)).as_json()

    async def _publish(self, identity: Identity, modelKey: str, id: str, version: int | None = None) -> Any:
        check_backend(identity)
        return (await self._records.publish(modelKey, id, version=version)).as_json()

    async def _unpublish(self, identity: Identity, modelKey: str, id: str, version: int | None = None) -> Any:
        check_backend(identity)
        return (await self._records.unpublish(modelKey, id, version=version)).as_json()

    async def _check_reads(self, identity: Identity, model: str) -> None:
        """:raises Forbidden: the model is private, or the credential is for something else."""
        if not await self._access.may_read(identity, channel_of(model)):
            raise Forbidden("this credential may not read those records")
