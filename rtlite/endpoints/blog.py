"""The blog's API: two WebSockets, and the REST calls that make their events.

Source: the blog API's WebSocket reference. Events come as ``{"type": …, …fields}``; close
codes are 4401, 4403, 1001, 1008. A client that connects with ``?since=`` is one that
resumes: it is greeted with ``{"type": "connected", "position", "recovered"}``, gets what it
missed, and every event carries its ``position``.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from importlib import resources
from typing import Annotated, Any, Final, NotRequired, TypeVar

import attrs
import orjson

from rtlite.auth.grants import is_operator
from rtlite.auth.tickets import TicketJson, Tickets
from rtlite.domain.blog import NO_SLUG, Blog, Reacted, Viewed
from rtlite.endpoints import messages
from rtlite.endpoints.pages import AFTER, Page
from rtlite.endpoints.sessions import Sessions
from rtlite.errors import CloseCode, Forbidden, InvalidRequest, Reason
from rtlite.model import Event, Identity, Kind, Position, check_channel, inbox_of
from rtlite.protocols import jsonframes
from rtlite.protocols.jsonschema import Shape, fields_of
from rtlite.rules import NOT_BLANK, PositionText, Rule, SinceText, UserInChannel
from rtlite.settings import Settings
from rtlite.store.blog import ArticleJson, CommentJson, Slug, SubscriberJson
from rtlite.transports.contract import JSON, UNKNOWN, Answer, Asked, Body, Message
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply
from rtlite.transports.websocket import WebSocket, WebSocketRoute, text_frame


def encode(event: Event) -> bytes:
    """The source text's shape, framed."""
    return text_frame(jsonframes.flat(event))


def encode_with_position(event: Event) -> bytes:
    return text_frame(jsonframes.flat_with_position(event))


def greeting(position: Position | None, recovered: bool) -> bytes:
    """What a resuming client gets first."""
    shown = None if position is None else str(position)
    return text_frame(orjson.dumps({"type": "connected", "position": shown, "recovered": recovered}))


def _code(row: CloseCode) -> int:
    return row.blog


Visitor = Annotated[str, Rule(description="A blog's own word for a visitor; taken with a blog key or an admin key.")]


@attrs.frozen
class NewArticle:
    slug: Slug
    title: Annotated[str, Rule(minLength=1, maxLength=300, pattern=NOT_BLANK)]
    author: UserInChannel | None = None


@attrs.frozen
class View:
    visitor: Visitor | None = None


@attrs.frozen
class Reaction:
    reaction: Annotated[str, Rule(pattern=r"^[^\s\x00-\x1f\x7f\"\\]{1,32}$", examples=["like"])]
    remove: bool = False
    visitor: Visitor | None = None


@attrs.frozen
class WrittenComment:
    author: Annotated[str, Rule(minLength=1, maxLength=200, pattern=NOT_BLANK)]
    body: Annotated[str, Rule(minLength=1, maxLength=10_000, pattern=NOT_BLANK)]


@attrs.frozen
class WantedSubscriber:
    email: Annotated[str, Rule(format="email", maxLength=320)]
    user: UserInChannel | None = None


T = TypeVar("T")


COMMENT: Final = {name: messages.example("new_comment")["comment"][name] for name in ("author", "body")}
SINCE: Final = Asked("since", SinceText, "Where to resume: then `connected` comes first, and events have a `position`")
CONNECTED: Final = Message(
    "connected",
    "First of all, to a client that resumes: where it stands, and whether all that it missed follows.",
    Shape({"type": "connected", "position": PositionText | None, "recovered": bool}),
)


def _event(name: Any, data: Any) -> Shape:
    """As :func:`rtlite.protocols.jsonframes.flat` has it."""
    fields = {"data": NotRequired[Any]} if data is Any else fields_of(data)
    if "type" in fields:
        fields = {"data": data}
    return Shape({"type": name, **fields, "position": NotRequired[PositionText]})


NOTIFICATIONS: Final = (CONNECTED, *messages.events("notifications", _event, jsonframes.flat))
UPDATES: Final = (CONNECTED, *messages.events("article", _event, jsonframes.flat))


class BlogEndpoint:
    def __init__(self, blog: Blog, sessions: Sessions, tickets: Tickets, settings: Settings) -> None:
        self._blog = blog
        self._sessions = sessions
        self._tickets = tickets
        self._settings = settings

    def websockets(self) -> list[WebSocketRoute]:
        return [
            WebSocketRoute(
                "/blog/ws/notifications", "blog", self.notifications, _code, asks=[SINCE], messages=NOTIFICATIONS
            ),
            WebSocketRoute(
                "/blog/ws/articles/{slug}", "blog", self.article_updates, _code, asks=[SINCE], messages=UPDATES
            ),
        ]

    def routes(self) -> list[Route]:
        article = "/blog/v1/articles/{slug}"
        key, public = Access.CREDENTIAL, Access.PUBLIC
        to_visitors = partial(Route, access=Access.VISITOR, open_to_pages=True, refuses=UNKNOWN)
        to_all = partial(Route, access=public, open_to_pages=True, refuses=UNKNOWN)
        return [
            Route(
                "POST",
                "/blog/v1/articles",
                self.create_article,
                "Create an article",
                key,
                takes=NewArticle,
                gives={201: ArticleJson},
                refuses={409: "conflict"},
            ),
            Route(
                "GET",
                "/blog/v1/articles",
                self.list_articles,
                "List articles",
                public,
                open_to_pages=True,
                asks=[AFTER],
                gives={200: Page[ArticleJson]},
            ),
            to_all("GET", article, self.get_article, "An article and its counters", gives={200: ArticleJson}),
            to_visitors(
                "POST", f"{article}/views", self.view, "Count a view", lean=True, takes=View, gives={200: Viewed}
            ),
            to_visitors(
                "POST",
                f"{article}/reactions",
                self.react,
                "Add or withdraw a reaction",
                takes=Reaction,
                gives={200: Reacted},
                refuses={**UNKNOWN, 409: "conflict"},
            ),
            to_visitors(
                "POST", f"{article}/ticket", self.ticket, "A ticket for the live updates", gives={201: TicketJson}
            ),
            to_all(
                "GET",
                f"{article}/comments",
                self.list_comments,
                "List comments",
                asks=[AFTER],
                gives={200: Page[CommentJson]},
            ),
            Route(
                "POST",
                f"{article}/comments",
                self.comment,
                "Add a comment",
                key,
                takes=Body({JSON: WrittenComment}, example=COMMENT),
                gives={201: CommentJson},
                refuses=UNKNOWN,
            ),
            Route(
                "POST",
                "/blog/v1/subscribers",
                self.subscribe,
                "Add a newsletter subscriber",
                key,
                takes=WantedSubscriber,
                gives={201: SubscriberJson, 200: SubscriberJson},
            ),
            Route(
                "GET",
                "/blog/v1/subscribers",
                self.list_subscribers,
                "List newsletter subscribers",
                key,
                asks=[AFTER],
                gives={200: Page[SubscriberJson]},
            ),
            Route(
                "GET",
                "/blog/embed.js",
                self.embed,
                "Live views and reactions on any page",
                public,
                open_to_pages=True,
                gives={200: Answer(str, "The script", ["text/javascript"], {"Cache-Control": "For five minutes"})},
            ),
        ]

    def notifications(self, websocket: WebSocket) -> Awaitable[None]:
        """The user's own notifications."""
        return self._stream(websocket, None)

    def article_updates(self, websocket: WebSocket) -> Awaitable[None]:
        """Views and reactions of one article, for any authenticated user."""
        return self._stream(websocket, f"article:{websocket.params['slug']}")

    async def _stream(self, websocket: WebSocket, channel: str | None) -> None:
        """A channel's events; ``None`` is the one of the user's own notifications."""
        identity = self._sessions.admit(websocket)
        if identity is None:
            return
        wrong = NO_SLUG if channel else "user: the name of this one cannot stand in a channel's"
        try:  # an article or a user called "*" would be all of them
            channel = check_channel(channel) if channel else inbox_of(identity.user)
        except InvalidRequest:
            websocket.end_saying(Reason.FORBIDDEN, wrong)
            return
        since = self._sessions.since(websocket)
        await self._sessions.subscribe(
            websocket,
            identity,
            channel,
            encode if since is None else encode_with_position,
            since=since,
            greet=None if since is None else greeting,
        )
        await self._sessions.ignore_messages(websocket)

    async def create_article(self, call: Call) -> Reply:
        identity = _writer(call)
        wanted = jsonframes.decode(call.body, NewArticle)
        author = identity.user if wanted.author is None else wanted.author
        if author != identity.user and not is_operator(identity):
            raise Forbidden("author: a blog key creates its own user's articles")
        return json_reply(await self._blog.create_article(wanted.slug, wanted.title, author), 201)

    async def list_articles(self, call: Call) -> Reply:
        return _page(await self._blog.articles(call.query.get("after", "")))

    async def get_article(self, call: Call) -> Reply:
        return json_reply(await self._blog.article(call.params["slug"]))

    async def view(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, View)
        return json_reply(await self._blog.view(call.params["slug"], _visitor(call, wanted.visitor)))

    async def react(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, Reaction)
        anonymous = call.identity.kind is Kind.ANONYMOUS
        for_visitor = anonymous or (wanted.visitor and _may_write(call.identity))
        reactor = _visitor(call, wanted.visitor) if for_visitor else f"user:{call.identity.user}"
        return json_reply(await self._blog.react(call.params["slug"], wanted.reaction, reactor, remove=wanted.remove))

    async def ticket(self, call: Call) -> Reply:
        """A single-use ticket that opens this article's live updates and nothing else, for the embed script."""
        channel = f"article:{(await self._blog.article(call.params['slug']))['slug']}"
        # Whoever asks, it goes into a page: it keeps who asked, so as to end with that key, and none of its rights.
        reader = attrs.evolve(call.identity, kind=Kind.ANONYMOUS, write=False, subscribe=(channel,), publish=())
        ticket = self._tickets.issue(reader, only=(channel,))
        return json_reply({"ticket": ticket, "expiresIn": round(self._settings.ticket_lifetime)}, 201)

    async def comment(self, call: Call) -> Reply:
        _writer(call)
        wanted = jsonframes.decode(call.body, WrittenComment)
        return json_reply(await self._blog.comment(call.params["slug"], wanted.author, wanted.body), 201)

    async def list_comments(self, call: Call) -> Reply:
        return _page(await self._blog.comments(call.params["slug"], call.query.get("after", "")))

    async def subscribe(self, call: Call) -> Reply:
        identity = _writer(call)
        wanted = jsonframes.decode(call.body, WantedSubscriber)
        owner = identity.user if wanted.user is None else wanted.user
        if owner != identity.user and not is_operator(identity):
            raise Forbidden("user: a blog key adds subscribers to its own user's newsletter")
        subscriber, new = await self._blog.subscribe(owner, wanted.email)
        return json_reply(subscriber, 201 if new else 200)

    async def list_subscribers(self, call: Call) -> Reply:
        identity = _writer(call)
        return _page(await self._blog.subscribers(identity.user, call.query.get("after", "")))

    async def embed(self, call: Call) -> Reply:
        script = resources.files("rtlite.console").joinpath("embed.js").read_bytes()
        return Reply(200, script, "text/javascript; charset=utf-8", {"Cache-Control": "public, max-age=300"})


def _may_write(identity: Identity) -> bool:
    """Whether this is a blog key or an admin key, and no ticket narrower than it."""
    return (identity.kind is Kind.BLOG and identity.only is None) or is_operator(identity)


def _writer(call: Call) -> Identity:
    """:raises Forbidden: the credential is neither a blog key nor an admin key."""
    if not _may_write(call.identity):
        raise Forbidden("a blog key or an admin key is needed")
    return call.identity


def _visitor(call: Call, named: str | None) -> str:
    """What tells visitors apart: a blog's own word for it, else address and browser.

    Only a blog's: with names of its own making, anyone could count as any number of visitors.
    """
    if named and _may_write(call.identity):
        return f"named\n{named}"
    return f"{call.address}\n{call.headers.get('user-agent', '')}"


def _page(page: tuple[list[T], str | None]) -> Reply:
    items, following = page
    return json_reply({"items": items, "next": following})
