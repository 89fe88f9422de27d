"""Conversations and status over HTTP: members, messages, and what has changed its state."""

from __future__ import annotations

from typing import Annotated, Any

import attrs

from rtlite.auth.grants import check_backend, is_backend
from rtlite.domain import access as rights
from rtlite.domain.conversations import STATUS_UPDATE, Conversations, chat_message, check_conversation, status_update
from rtlite.endpoints.messages import example
from rtlite.endpoints.pages import AFTER, Page
from rtlite.errors import Forbidden, InvalidRequest
from rtlite.model import Identity, Kind
from rtlite.protocols import jsonframes
from rtlite.protocols.jsonframes import Receipt
from rtlite.rules import EventId, Rule, User
from rtlite.store.conversations import ConversationMember
from rtlite.transports.contract import JSON, Asked, Body
from rtlite.transports.routes import Access, Call, Reply, Route, json_reply


@attrs.frozen
class Membership:
    write: bool = True


@attrs.frozen
class NewMessage:
    content: Annotated[str, Rule(minLength=1)]
    sender_id: User | None = None
    id: EventId | None = None


@attrs.frozen
class NewStatus:
    entity_type: Annotated[str, Rule(minLength=1, pattern=r"^[!-9;-~]+$", examples=["task"])]
    entity_id: Annotated[str, Rule(minLength=1, pattern=r"^[!-~]+$", examples=["task-789"])]
    status: Annotated[str, Rule(minLength=1, examples=["completed"])]


CONVERSATION = Asked("id", Annotated[str, Rule(minLength=1, maxLength=242, pattern="^[!-~]+$", examples=["conv-123"])])
MEMBER = Asked("user", User)


class ConversationsEndpoint:
    def __init__(self, conversations: Conversations, access: rights.Access) -> None:
        self._conversations = conversations
        self._access = access

    def routes(self) -> list[Route]:
        key = Access.CREDENTIAL
        members = "/conversations/{id}/members"
        return [
            Route(
                "GET",
                members,
                self.list_members,
                "Who is in a conversation",
                key,
                asks=[CONVERSATION, AFTER],
                gives={200: Page[ConversationMember]},
            ),
            Route(
                "PUT",
                f"{members}/{{user}}",
                self.put_member,
                "Make someone a member of a conversation",
                key,
                asks=[CONVERSATION, MEMBER],
                takes=Membership,
                gives={201: ConversationMember, 200: ConversationMember},
                refuses={409: "too_many_members"},
            ),
            Route(
                "DELETE",
                f"{members}/{{user}}",
                self.remove_member,
                "Take someone out of a conversation",
                key,
                asks=[CONVERSATION, MEMBER],
                gives={204: None},
            ),
            Route(
                "POST",
                "/conversations/{id}/messages",
                self.post_message,
                "Post to a conversation",
                key,
                lean=True,
                publishing=True,
                asks=[CONVERSATION],
                takes=Body({JSON: NewMessage}, example=example("chat_message", "sender_id", "content")),
                gives={201: Receipt, 200: Receipt},
            ),
            Route(
                "POST",
                "/status",
                self.post_status,
                "Tell the state of something",
                key,
                lean=True,
                publishing=True,
                takes=Body({JSON: NewStatus}, example=example("status_update")),
                gives={201: Receipt},
            ),
        ]

    async def list_members(self, call: Call) -> Reply:
        """For the backend, and for whoever may read the conversation."""
        conversation = call.params["id"]
        channel = check_conversation(conversation)
        if not is_backend(call.identity) and not await self._access.may_read(call.identity, channel):
            raise Forbidden("only the backend and members of a conversation see who is in it")
        members, following = await self._conversations.members(conversation, call.query.get("after", ""))
        return json_reply({"items": [member.as_json() for member in members], "next": following})

    async def put_member(self, call: Call) -> Reply:
        """Again for the same user, this changes the right to post."""
        check_backend(call.identity)
        wanted = jsonframes.decode(call.body, Membership)
        member, new = await self._conversations.put_member(call.params["id"], call.params["user"], write=wanted.write)
        return json_reply(member.as_json(), 201 if new else 200)

    async def remove_member(self, call: Call) -> Reply:
        """The user's live subscriptions have ended when the answer comes."""
        check_backend(call.identity)
        await self._conversations.remove_member(call.params["id"], call.params["user"])
        return Reply(204)

    async def post_message(self, call: Call) -> Reply:
        """A user posts as itself; the backend says whose message it is."""
        wanted = jsonframes.decode(call.body, NewMessage)
        conversation = call.params["id"]
        message = chat_message(conversation, _sender(call.identity, wanted), wanted.content)
        await self._check_right(call.identity, check_conversation(conversation), rights.CHAT_MESSAGE, message)
        published = await self._conversations.post(conversation, message, wanted.id)
        return json_reply(jsonframes.receipt(published.event), 200 if published.duplicate else 201)

    async def post_status(self, call: Call) -> Reply:
        wanted = jsonframes.decode(call.body, NewStatus)
        channel, update = status_update(wanted.entity_type, wanted.entity_id, wanted.status)
        await self._check_right(call.identity, channel, STATUS_UPDATE, update)
        published = await self._conversations.announce_status(channel, update)
        return json_reply(jsonframes.receipt(published.event), 201)

    async def _check_right(self, identity: Identity, channel: str, name: str, data: Any) -> None:
        if not await self._access.may_write(identity, channel, name, data):
            raise Forbidden("this credential may not publish there")


def _sender(identity: Identity, wanted: NewMessage) -> str:
    """:raises Forbidden: a user speaks for another. :raises InvalidRequest: the backend does not say for whom."""
    if identity.kind is Kind.JWT:
        if wanted.sender_id not in {None, identity.user}:
            raise Forbidden("sender_id: a user posts as itself")
        return identity.user
    if wanted.sender_id is None:
        raise InvalidRequest("sender_id: missing")
    return wanted.sender_id
