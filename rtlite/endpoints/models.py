"""Models over HTTP: for the backend, which says what a kind of records is."""

from __future__ import annotations

from typing import Annotated, Any

import attrs

from rtlite.auth.grants import check_backend
from rtlite.domain.models import UNCHANGED, Models
from rtlite.endpoints.pages import ASKED, Page, page_reply, page_size
from rtlite.protocols import jsonframes
from rtlite.rules import Id, Rule, of
from rtlite.settings import Settings
from rtlite.store.models import ModelJson
from rtlite.transports.contract import UNKNOWN, Asked
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply

Field = Annotated[str, Rule(pattern=r"^\w[\w-]{0,63}(\.\w[\w-]{0,63}){0,7}$", description="A field of the data")]


@attrs.frozen
class ModelChange:
    schema: Annotated[Any, Rule(type=["object", "boolean", "null"], description="A JSON Schema (2020-12)")] = UNCHANGED
    private: bool | None = None
    indexes: Annotated[list[Field], Rule(maxItems=of("model_indexes"))] | None = None


MODEL = Asked("modelKey", Id)


class ModelsEndpoint:
    def __init__(self, models: Models, settings: Settings) -> None:
        self._models = models
        self._settings = settings

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        return [
            Route("GET", "/models", self.list, "Models, by key", key, asks=ASKED, gives={200: Page[ModelJson]}),
            Route(
                "GET",
                "/models/{modelKey}",
                self.show,
                "A model",
                key,
                gives={200: ModelJson},
                refuses=UNKNOWN,
            ),
            Route(
                "PUT",
                "/models/{modelKey}",
                self.put,
                "Make a model, or change it",
                key,
                asks=[MODEL],
                takes=ModelChange,
                gives={201: ModelJson, 200: ModelJson},
                refuses={400: "invalid_schema invalid_field", 409: "too_many_models"},
            ),
            Route(
                "DELETE",
                "/models/{modelKey}",
                self.delete,
                "Forget a model that has no records",
                key,
                gives={204: None},
                refuses={**UNKNOWN, 409: "model_in_use"},
            ),
        ]

    async def list(self, call: Call) -> Reply:
        """``?limit=&after=``"""
        check_backend(call.identity)
        limit = page_size(call, self._settings.max_page)
        return page_reply(*await self._models.list(call.query.get("after", ""), limit))

    async def show(self, call: Call) -> Reply:
        check_backend(call.identity)
        return json_reply((await self._models.find(call.params["modelKey"])).as_json())

    async def put(self, call: Call) -> Reply:
        """What is not named stays; ``"schema": null`` is none. The answer comes when the indexes serve."""
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, ModelChange)
        model, new = await self._models.put(call.params["modelKey"], wanted.schema, wanted.private, wanted.indexes)
        return json_reply(model.as_json(), 201 if new else 200)

    async def delete(self, call: Call) -> Reply:
        check_backend(call.identity)
        await self._models.delete(call.params["modelKey"])
        return Reply(204)
