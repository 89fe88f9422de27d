"""What makes the blog's events: articles, views, reactions, comments, subscribers.

Each function changes its tables and announces the change in one transaction, so a counter
is never ahead of its event nor behind it, whatever is killed when.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, TypedDict

from rtlite.errors import Conflict, InvalidRequest, NotFound
from rtlite.hub.hub import Hub
from rtlite.hub.transactions import Transaction
from rtlite.model import inbox_of, new_event_id, now_ms, rfc3339
from rtlite.rules import Count, Offset, Timestamp
from rtlite.settings import Settings
from rtlite.store import blog as tables
from rtlite.store.blog import Article, ArticleJson, CommentJson, Counts, Slug, SubscriberJson
from rtlite.store.database import Database
from rtlite.store.schema import secret

NO_SLUG: Final = "slug: letters, digits, '.', '_', '~' and '-' are allowed, 200 at most"
_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,199}")
_REACTION: Final = re.compile(r"[^\s\x00-\x1f\x7f\"\\]{1,32}")
_MOST_REACTIONS: Final = 64  # kinds per article: anyone may react, and every reader gets all counts
_HOUR_MS: Final = 3_600_000
_MAX_EMAIL: Final = 320
PAGE: Final = 100


class Viewed(TypedDict):
    """What became of a view: whether it is the visitor's first within this hour."""

    slug: Slug
    viewCount: Count
    counted: bool


class Reacted(TypedDict):
    """What became of a reaction."""

    slug: Slug
    reactions: Counts
    changed: bool


class ViewUpdate(TypedDict):
    slug: Slug
    viewCount: Offset
    timestamp: Timestamp


class ReactionUpdate(TypedDict):
    slug: Slug
    reactions: Counts
    timestamp: Timestamp


class Milestone(TypedDict):
    articleSlug: Slug
    milestone: Offset
    viewCount: Offset
    timestamp: Timestamp


class ArticleReaction(TypedDict):
    articleSlug: Slug
    reaction: str
    count: Offset
    timestamp: Timestamp


class NewComment(TypedDict):
    articleSlug: Slug
    comment: CommentJson


class NewSubscriber(TypedDict):
    subscriber: SubscriberJson


class Blog:
    """The blog of one server."""

    def __init__(self, hub: Hub, database: Database, settings: Settings) -> None:
        self._hub = hub
        self._database = database
        self._milestones = settings.blog_milestones

    async def create_article(self, slug: str, title: str, author: str) -> ArticleJson:
        """:raises Conflict: the slug is taken."""
        _check_slug(slug)
        _check_text("title", title, 300)
        inbox_of(author, "author")

        def work(transaction: Transaction) -> ArticleJson:
            if not tables.insert_article(transaction.connection, slug, title, author, now_ms()):
                raise Conflict(f"the slug {slug} is taken")
            return _article(transaction, slug).as_json({})

        return await self._hub.transact(work)

    async def article(self, slug: str) -> ArticleJson:
        """:raises NotFound: no such article."""

        def read(connection: Any) -> ArticleJson:
            found = tables.find_article(connection, slug)
            if found is None:
                raise NotFound("no such article")
            return found.as_json(tables.count_reactions(connection, found.id))

        return await self._database.read(read)

    async def articles(self, after: str) -> tuple[list[ArticleJson], str | None]:
        """A page by slug, and where the next begins."""

        def read(connection: Any) -> list[ArticleJson]:
            return [
                item.as_json(tables.count_reactions(connection, item.id))
                for item in tables.list_articles(connection, after, PAGE)
            ]

        items = await self._database.read(read)
        return items, items[-1]["slug"] if len(items) == PAGE else None

    async def view(self, slug: str, visitor: str) -> Viewed:
        """Count a view, once per visitor and hour; announce it, and a milestone to the author.

        :param visitor: whatever tells visitors apart; only a salted hash of it is kept, for an hour.
        """

        def work(transaction: Transaction) -> Viewed:
            connection, now = transaction.connection, now_ms()
            article, hour = _article(transaction, slug), now // _HOUR_MS
            salt = tables.visit_salt(connection, hour)
            counted = tables.record_visit(connection, hour, article.id, _hash(salt, visitor))
            views = article.views + counted
            if counted:
                reached = max((count for count in self._milestones if count <= views), default=0)
                tables.set_views(connection, article.id, views, max(reached, article.milestone))
                update: ViewUpdate = {"slug": slug, "viewCount": views, "timestamp": rfc3339(now)}
                transaction.publish(f"article:{slug}", "view_update", update)
                if reached > article.milestone:
                    milestone: Milestone = {
                        "articleSlug": slug,
                        "milestone": reached,
                        "viewCount": views,
                        "timestamp": rfc3339(now),
                    }
                    transaction.publish(inbox_of(article.author), "milestone", milestone)
            return {"slug": slug, "viewCount": views, "counted": counted}

        return await self._hub.transact(work)

    async def react(self, slug: str, reaction: str, reactor: str, *, remove: bool = False) -> Reacted:
        """Add or withdraw a reaction; announce the counts to readers, and an added one to the author.

        :param reactor: a user (``user:ID``), or whatever tells anonymous visitors apart, which is kept as a hash.
        """
        if not _REACTION.fullmatch(reaction):
            raise InvalidRequest("reaction: 1 to 32 characters without spaces are allowed")

        def work(transaction: Transaction) -> Reacted:
            connection, now = transaction.connection, now_ms()
            article = _article(transaction, slug)
            who = reactor
            if not reactor.startswith("user:"):
                who = _hash(secret(connection, "reaction_salt").encode(), f"{slug}\n{reactor}").hex()
            if remove:
                changed = tables.remove_reaction(connection, article.id, reaction, who)
            else:
                changed = tables.add_reaction(connection, article.id, reaction, who, now)
            counts = tables.count_reactions(connection, article.id)
            if len(counts) > _MOST_REACTIONS:
                raise Conflict(f"reaction: an article has {_MOST_REACTIONS} kinds at most")
            if changed:
                update: ReactionUpdate = {"slug": slug, "reactions": counts, "timestamp": rfc3339(now)}
                transaction.publish(f"article:{slug}", "reaction_update", update)
                if not remove:
                    told: ArticleReaction = {
                        "articleSlug": slug,
                        "reaction": reaction,
                        "count": counts[reaction],
                        "timestamp": rfc3339(now),
                    }
                    transaction.publish(inbox_of(article.author), "article_reaction", told)
            return {"slug": slug, "reactions": counts, "changed": changed}

        return await self._hub.transact(work)

    async def comment(self, slug: str, author: str, body: str) -> CommentJson:
        """Keep a comment and tell the article's author."""
        _check_text("author", author, 200)
        _check_text("body", body, 10_000)

        def work(transaction: Transaction) -> CommentJson:
            article, now, id = _article(transaction, slug), now_ms(), new_event_id()
            tables.insert_comment(transaction.connection, id, article.id, author, body, now)
            comment: CommentJson = {"id": id, "body": body, "author": author, "createdAt": rfc3339(now)}
            told: NewComment = {"articleSlug": slug, "comment": comment}
            transaction.publish(inbox_of(article.author), "new_comment", told)
            return comment

        return await self._hub.transact(work)

    async def comments(self, slug: str, after: str) -> tuple[list[CommentJson], str | None]:
        """A page, oldest first, and where the next begins."""

        def read(connection: Any) -> list[CommentJson]:
            found = tables.find_article(connection, slug)
            if found is None:
                raise NotFound("no such article")
            return tables.list_comments(connection, found.id, after, PAGE)

        items = await self._database.read(read)
        return items, items[-1]["id"] if len(items) == PAGE else None

    async def subscribe(self, owner: str, email: str) -> tuple[SubscriberJson, bool]:
        """Add a newsletter subscriber and tell the newsletter's owner; also says whether it is new."""
        inbox = inbox_of(owner)
        if len(email) > _MAX_EMAIL:  # the validator takes its time over long ones
            raise InvalidRequest(f"email: {_MAX_EMAIL} characters at most")
        import email_validator  # by the first subscriber, in place of each start: it takes 30 ms

        try:
            address = email_validator.validate_email(email, check_deliverability=False).normalized
        except email_validator.EmailNotValidError as error:
            raise InvalidRequest(f"email: {error}") from error

        def work(transaction: Transaction) -> tuple[SubscriberJson, bool]:
            now = now_ms()
            subscriber: SubscriberJson = {"email": address, "subscribed_at": rfc3339(now)}
            new = tables.insert_subscriber(transaction.connection, owner, address, now)
            if new:
                told: NewSubscriber = {"subscriber": subscriber}
                transaction.publish(inbox, "new_subscriber", told)
            return subscriber, new

        return await self._hub.transact(work)

    async def subscribers(self, owner: str, after: str) -> tuple[list[SubscriberJson], str | None]:
        items = await self._database.read(lambda connection: tables.list_subscribers(connection, owner, after, PAGE))
        return items, items[-1]["email"] if len(items) == PAGE else None


def _article(transaction: Transaction, slug: str) -> Article:
    found = tables.find_article(transaction.connection, slug)
    if found is None:
        raise NotFound("no such article")
    return found


def _hash(salt: bytes, visitor: str) -> bytes:
    return hashlib.blake2b(visitor.encode(), key=salt[:64], digest_size=16).digest()


def _check_slug(slug: str) -> None:
    if not _SLUG.fullmatch(slug):
        raise InvalidRequest(NO_SLUG)


def _check_text(name: str, value: str, longest: int) -> None:
    if not value.strip() or len(value) > longest:
        raise InvalidRequest(f"{name}: 1 to {longest} characters are wanted")
