"""The routes of the back office: the open API and the administration, behind one key, and their description."""

import binascii
import secrets
from functools import cached_property
from typing import Any

import orjson
from aiohttp import web

from fsharechat.node import Node
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import TRANSPARENT_TYPES, PersistFlag
from fsharechat.settings import Settings
from roles.api import shapes
from roles.api.docs.description import Object, describe
from roles.api.docs.page import page
from roles.api.endpoints import BackOffice, Endpoint
from roles.api.keys import KeyGuard
from roles.api.shapes import BadRequest, PushOutcome, PushRequest

# The open API: messages that another system sends to users (contract.md section 8)

MAX_PUSH_BYTES = 32 << 20
"""The largest size of all messages of one push, bytes: each number gets its own message."""


def push_call(asked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the call to the group role, with the content as the bytes for all clients.

    A push without an id gets one, because a call between processes may be repeated.
    """
    message = asked["content"]
    body = _content(message["content"]).SerializeToString()
    if len(body) * len(asked["mobiles"]) > MAX_PUSH_BYTES:
        raise BadRequest(
            f"mobiles: {len(asked['mobiles'])} messages of this size are more than {MAX_PUSH_BYTES} bytes; "
            "send to fewer numbers at a time"
        )
    return {
        "mobiles": asked["mobiles"],
        "messageId": message["messageId"] if message["messageId"].strip("0") else secrets.token_hex(16),
        "sender": settings.api.notification_name,
        "content": binascii.b2a_base64(body, newline=False).decode(),
    }


def _content(content: dict[str, Any]) -> pb.MessageContent:
    """Return the content, without fields that were not given."""
    kind = content["type"]
    flag = PersistFlag.TRANSPARENT if kind in TRANSPARENT_TYPES else PersistFlag.STORED_AND_COUNTED
    return pb.MessageContent(
        type=kind,
        searchable_content=content["searchableContent"] or None,
        push_content=content["pushContent"] or None,
        content=content["content"] or None,
        data=binascii.a2b_base64(content["binaryContent"]) or None,
        media_type=content["mediaType"] or None,
        remote_media_url=content["remoteMediaUrl"] or None,
        persist_flag=flag,
    )


PUSH = Endpoint(
    "POST",
    "/imopenapi/pushNotificationByMobile",
    "push",
    "Send a message from the user SystemNotification to the users of some numbers.",
    answer=list[PushOutcome],
    tag="Open API",
    body=PushRequest,
    prepare=push_call,
    logged=("mobiles",),
)


_USERS, _SESSIONS, _GROUPS, _WORDS = "Users", "Sessions", "Groups", "Sensitive words"
_USER = "/admin/users/{user}"
"""`user` is a uid or a login number."""

ADMIN = (
    Endpoint(
        "GET",
        "/admin/users",
        "users.list",
        "List users, or search for them.",
        shapes.Users,
        _USERS,
        query=shapes.UsersQuery,
    ),
    Endpoint(
        "POST",
        "/admin/users",
        "users.create",
        "Create a user, who then logs in with the number. 409 if another user has it.",
        shapes.User,
        _USERS,
        body=shapes.NewUser,
        logged=("number",),
    ),
    Endpoint("GET", _USER, "users.get", "Show a user.", shapes.WholeUser, _USERS),
    Endpoint(
        "GET",
        f"{_USER}/export",
        "users.export",
        "Read a page of all that is stored about a user.",
        shapes.PersonalPage,
        _USERS,
        query=shapes.PersonalQuery,
    ),
    Endpoint(
        "DELETE",
        _USER,
        "users.delete",
        "Delete a user for good, a step at a time: the name, the texts and the files. The messages stay as notices.",
        shapes.Deletion,
        _USERS,
        query=shapes.PersonalQuery,
        logged=("after",),
    ),
    Endpoint(
        "PUT",
        f"{_USER}/status",
        "users.status",
        "Mute a user, block a user (this ends all connections at once), or set the user back to normal.",
        shapes.User,
        _USERS,
        body=shapes.NewStatus,
        logged=("status",),
    ),
    Endpoint(
        "GET",
        "/admin/sessions",
        "sessions.count",
        "Count the devices online.",
        shapes.SessionCount,
        _SESSIONS,
    ),
    Endpoint(
        "GET",
        f"{_USER}/sessions",
        "sessions.list",
        "List the devices of a user that are online or logged in.",
        shapes.Devices,
        _SESSIONS,
    ),
    Endpoint(
        "DELETE",
        f"{_USER}/sessions",
        "sessions.end",
        "Kick all devices of a user.",
        shapes.Ended,
        _SESSIONS,
        query=shapes.LogoutQuery,
        logged=("logout",),
    ),
    Endpoint(
        "DELETE",
        f"{_USER}/sessions/{{clientId}}",
        "sessions.end",
        "Kick a device.",
        shapes.Ended,
        _SESSIONS,
        query=shapes.LogoutQuery,
        logged=("logout",),
    ),
    Endpoint(
        "GET",
        "/admin/groups",
        "groups.list",
        "List groups, or search for them.",
        shapes.Groups,
        _GROUPS,
        query=shapes.GroupsQuery,
    ),
    Endpoint(
        "GET",
        "/admin/groups/{group}",
        "groups.get",
        "Show a group and its members.",
        shapes.WholeGroup,
        _GROUPS,
        query=shapes.MembersQuery,
    ),
    Endpoint(
        "DELETE",
        "/admin/groups/{group}",
        "groups.dismiss",
        "Dismiss a group. Its members are told, as when its owner does it.",
        shapes.Group,
        _GROUPS,
    ),
    Endpoint(
        "GET",
        "/admin/words",
        "words.list",
        "List the sensitive words: a message with one of them is refused with code 242.",
        shapes.Words,
        _WORDS,
        query=shapes.WordsQuery,
    ),
    Endpoint(
        "POST",
        "/admin/words",
        "words.add",
        "Add sensitive words. All nodes use them within moments.",
        shapes.Added,
        _WORDS,
        body=shapes.WordList,
        logged=("words",),
    ),
    Endpoint(
        "POST",
        "/admin/words/remove",
        "words.remove",
        "Remove sensitive words.",
        shapes.Removed,
        _WORDS,
        body=shapes.WordList,
        logged=("words",),
    ),
)


ENDPOINTS = (PUSH, *ADMIN)
PATHS = ("/imopenapi/", "/admin/")
"""The beginnings of all their paths."""


def add_routes(app: web.Application, node: Node) -> None:
    office = BackOffice(node, KeyGuard(node.settings.api.key, node.rpc))
    for endpoint in ENDPOINTS:
        office.add(app, endpoint)
    docs = Docs(app)
    app.router.add_get("/imopenapi/openapi.json", docs.document)
    app.router.add_get("/docs", docs.page)


class Docs:
    """The description of all routes of an application, made at the first request for it."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    @cached_property
    def _description(self) -> Object:
        return describe(self._app, ENDPOINTS)

    @cached_property
    def _page(self) -> str:
        return page(self._description)

    async def document(self, _: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self._description), content_type="application/json")

    async def page(self, _: web.Request) -> web.Response:
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=self._page, content_type="text/html", headers=headers)
