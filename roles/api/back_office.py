"""The routes of the back office: the open API and the administration, and their description."""

import binascii
import secrets
from functools import cached_property
from typing import Any

import orjson
from aiohttp import web

from fsharechat.admin.rights import AdminRole
from fsharechat.clock import now_ms
from fsharechat.node import Node
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import TRANSPARENT_TYPES, PersistFlag
from fsharechat.settings import Settings
from fsharechat.status import merged
from roles.api import shapes
from roles.api.docs.description import Object, describe
from roles.api.docs.page import page
from roles.api.endpoints import BackOffice, Endpoint
from roles.api.gate import OfficeGate
from roles.api.keys import KeyGuard
from roles.api.passwords import Passwords
from roles.api.shapes import BadRequest, GroupPushOutcome, GroupPushRequest, PushOutcome, PushRequest
from roles.api.sign_in import SignIn

# The open API: messages that another system sends to users (contract.md section 8)

MAX_PUSH_BYTES = 32 << 20
"""The largest size of all messages of one push, bytes: each number gets its own message."""


def push_call(asked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the call to the group role for a push to numbers."""
    return {"mobiles": asked["mobiles"], **_pushed(asked, "mobiles", settings)}


def group_push_call(asked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the call to the group role for a push to groups."""
    if asked["content"]["content"]["type"] in TRANSPARENT_TYPES:
        raise BadRequest(
            "content.content.type: a message of this type is not stored; groups get those that are"
        )
    return {"groups": asked["groups"], "as": asked["sender"], **_pushed(asked, "groups", settings)}


def _pushed(asked: dict[str, Any], to: str, settings: Settings) -> dict[str, Any]:
    """Return the part of a push that all have, with the content as the bytes for all clients.

    A push without an id gets one, because a call between processes may be repeated.
    """
    message = asked["content"]
    body = _content(message["content"]).SerializeToString()
    if len(body) * len(asked[to]) > MAX_PUSH_BYTES:
        raise BadRequest(
            f"{to}: {len(asked[to])} messages of this size are more than {MAX_PUSH_BYTES} bytes; "
            "send fewer at a time"
        )
    return {
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

GROUP_PUSH = Endpoint(
    "POST",
    "/imopenapi/pushNotificationByGroup",
    "push_groups",
    "Send a message to groups, from the user SystemNotification or from a robot or bot that is a member.",
    answer=list[GroupPushOutcome],
    tag="Open API",
    body=GroupPushRequest,
    prepare=group_push_call,
    logged=("groups", "sender"),
)


_USERS, _SESSIONS, _GROUPS, _WORDS = "Users", "Sessions", "Groups", "Sensitive words"
_BOTS, _REPORTS, _ROBOTS = "Bots", "Reports of abuse", "Robots"
_INVITATIONS = "Invitations"
_ACCOUNTS, _SERVER = "Administrators", "Administration of the server"
_USER = "/admin/users/{user}"
"""`user` is a uid or a login number."""
_ROBOT = "/admin/robots/{robot}"

_ACCOUNT = "/admin/accounts/{account}"


def audit_call(asked: dict[str, Any], _: Settings) -> dict[str, Any]:
    """Return the call for a page of the audit log: `actor` and `op` are those of the call itself."""
    return {**asked, "who": asked["actor"], "what": asked["op"]}


def invitation_call(asked: dict[str, Any], _: Settings) -> dict[str, Any]:
    """Return the call that makes an invitation, with its id: a call between processes may be repeated."""
    return {**asked, "id": f"{now_ms():012x}{secrets.token_hex(4)}"}


ADMIN = (
    Endpoint(
        "GET",
        "/admin/users",
        "users.list",
        "List users, or search for them.",
        shapes.Users,
        _USERS,
        query=shapes.UsersQuery,
        needs=AdminRole.READ,
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
        target="number",
        needs=AdminRole.PEOPLE,
    ),
    Endpoint("GET", _USER, "users.get", "Show a user.", shapes.WholeUser, _USERS, needs=AdminRole.READ),
    Endpoint(
        "PUT",
        f"{_USER}/number",
        "users.number",
        "Give a user another number to log in with. 409 if another user has it.",
        shapes.User,
        _USERS,
        body=shapes.NewNumber,
        logged=("number",),
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "POST",
        f"{_USER}/code",
        "users.code",
        "Make a login code, which the administrator tells the user.",
        shapes.LoginCodeMade,
        _USERS,
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "GET",
        f"{_USER}/accounts",
        "users.accounts",
        "List the accounts of providers (OpenID Connect) that lead to a user.",
        shapes.CompanyAccounts,
        _USERS,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "DELETE",
        f"{_USER}/accounts/{{id}}",
        "users.unbind",
        "Take an account of a provider from a user. It leads to no user then. Devices stay logged in.",
        shapes.CompanyAccounts,
        _USERS,
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "GET",
        f"{_USER}/export",
        "users.export",
        "Read a page of all that is stored about a user.",
        shapes.PersonalPage,
        _USERS,
        query=shapes.PersonalQuery,
        noted=True,
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
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "PUT",
        f"{_USER}/robot",
        "users.robot",
        "Make a user a robot, who logs in as before and may stream answers, or a person again.",
        shapes.User,
        _USERS,
        body=shapes.IsRobot,
        logged=("robot",),
    ),
    Endpoint(
        "GET",
        "/admin/sessions",
        "sessions.count",
        "Count the devices online.",
        shapes.SessionCount,
        _SESSIONS,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "GET",
        f"{_USER}/sessions",
        "sessions.list",
        "List the devices of a user that are online or logged in.",
        shapes.Devices,
        _SESSIONS,
        needs=AdminRole.READ,
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
        needs=AdminRole.PEOPLE,
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
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "GET",
        "/admin/groups",
        "groups.list",
        "List groups, or search for them.",
        shapes.Groups,
        _GROUPS,
        query=shapes.GroupsQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "GET",
        "/admin/groups/{group}",
        "groups.get",
        "Show a group and its members.",
        shapes.WholeGroup,
        _GROUPS,
        query=shapes.MembersQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "PUT",
        "/admin/groups/{group}/members/{member}",
        "groups.member",
        "Silence a member, or end the silence, in the owner's name.",
        shapes.Group,
        _GROUPS,
        body=shapes.NewMemberType,
        logged=("type",),
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "PUT",
        "/admin/groups/{group}/owner",
        "groups.owner",
        "Hand a group over to another member.",
        shapes.Group,
        _GROUPS,
        body=shapes.NewOwner,
        logged=("owner",),
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "DELETE",
        "/admin/groups/{group}",
        "groups.dismiss",
        "Dismiss a group. Its members are told, as when its owner does it.",
        shapes.Group,
        _GROUPS,
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "GET",
        "/admin/words",
        "words.list",
        "List the sensitive words: a message with one of them is refused with code 242.",
        shapes.Words,
        _WORDS,
        query=shapes.WordsQuery,
        needs=AdminRole.READ,
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
    Endpoint(
        "GET",
        "/admin/session",
        "accounts.current",
        "Say who asks.",
        shapes.WhoAsks,
        _ACCOUNTS,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "GET",
        "/admin/accounts",
        "accounts.list",
        "List the administrators.",
        shapes.AdminAccounts,
        _ACCOUNTS,
        query=shapes.PageQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "POST",
        "/admin/accounts",
        "accounts.add",
        "Make an administrator. 409 if the name is taken.",
        shapes.AdminAccount,
        _ACCOUNTS,
        body=shapes.NewAccount,
        logged=("name", "role"),
        target="name",
        hashed="password",
    ),
    Endpoint(
        "PUT",
        f"{_ACCOUNT}/role",
        "accounts.role",
        "Give an administrator another role, at once.",
        shapes.AdminAccount,
        _ACCOUNTS,
        body=shapes.NewRole,
        logged=("role",),
    ),
    Endpoint(
        "PUT",
        f"{_ACCOUNT}/password",
        "accounts.password",
        "Give an administrator another password. All sessions of the administrator end.",
        shapes.AdminAccount,
        _ACCOUNTS,
        body=shapes.NewPassword,
        hashed="password",
    ),
    Endpoint(
        "DELETE",
        _ACCOUNT,
        "accounts.remove",
        "Remove an administrator, and end all sessions.",
        shapes.AdminAccount,
        _ACCOUNTS,
    ),
    Endpoint(
        "GET",
        "/admin/audit",
        "audit.list",
        "List what administrators did, page by page.",
        shapes.AuditRecords,
        _ACCOUNTS,
        query=shapes.AuditQuery,
        prepare=audit_call,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "GET",
        "/admin/processes",
        "processes.list",
        "Show each process of the deployment: its metrics and its health.",
        shapes.Processes,
        _SERVER,
        needs=AdminRole.READ,
        merge=merged,
    ),
    Endpoint(
        "GET",
        "/admin/settings",
        "settings.list",
        "Show the settings that a group process uses, without secrets.",
        shapes.SettingViews,
        _SERVER,
        query=shapes.SettingsQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "GET",
        "/admin/robots",
        "robots.list",
        "List the robots: those of the settings, and those that were made here.",
        shapes.RobotPage,
        _ROBOTS,
        query=shapes.PageQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "POST",
        "/admin/robots",
        "robots.create",
        "Make a robot: a user whose answers come from an agent. All nodes know it within moments.",
        shapes.Robot,
        _ROBOTS,
        body=shapes.NewRobot,
        logged=("kind", "agent"),
        target="uid",
    ),
    Endpoint("GET", _ROBOT, "robots.get", "Show a robot.", shapes.Robot, _ROBOTS, needs=AdminRole.READ),
    Endpoint(
        "PUT",
        _ROBOT,
        "robots.change",
        "Change a robot. What is not given stays as it is.",
        shapes.Robot,
        _ROBOTS,
        body=shapes.RobotChange,
    ),
    Endpoint(
        "DELETE",
        _ROBOT,
        "robots.remove",
        "Take a robot's agent away. Its user stays, but does not answer any more.",
        shapes.RobotRemoved,
        _ROBOTS,
    ),
    Endpoint(
        "GET",
        "/admin/bots",
        "bots.list",
        "List the bots.",
        shapes.BotUsers,
        _BOTS,
        query=shapes.PageQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "POST",
        "/admin/bots",
        "bots.create",
        "Make a bot, or a new token for one whose token was taken back. 409 if it has one.",
        shapes.BotWithToken,
        _BOTS,
        body=shapes.NewBot,
        target="name",
    ),
    Endpoint(
        "DELETE",
        "/admin/bots/{bot}",
        "bots.revoke",
        "Take the token of a bot back, and end its connection. Its user stays.",
        shapes.BotUser,
        _BOTS,
    ),
    Endpoint(
        "GET",
        "/admin/invitations",
        "invitations.list",
        "List the invitations, the oldest first. They are removed 90 days after their end.",
        shapes.InvitationPage,
        _INVITATIONS,
        query=shapes.InvitationsQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "POST",
        "/admin/invitations",
        "invitations.create",
        "Invite a number, an e-mail address or a domain, or anybody with the code in the answer.",
        shapes.InvitationWithCode,
        _INVITATIONS,
        body=shapes.NewInvitation,
        prepare=invitation_call,
        logged=("invitee", "count", "days"),
        target="invitee",
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "DELETE",
        "/admin/invitations/{invitation}",
        "invitations.revoke",
        "End an invitation. Users who came by it stay.",
        shapes.InvitationShown,
        _INVITATIONS,
        needs=AdminRole.PEOPLE,
    ),
    Endpoint(
        "GET",
        "/admin/reports",
        "reports.list",
        "List what users have reported, the oldest first.",
        shapes.AbuseReports,
        _REPORTS,
        query=shapes.ReportsQuery,
        needs=AdminRole.READ,
    ),
    Endpoint(
        "DELETE",
        "/admin/reports/{report}",
        "reports.close",
        "Delete a report that is dealt with.",
        shapes.ReportClosed,
        _REPORTS,
        needs=AdminRole.PEOPLE,
    ),
)


ENDPOINTS = (PUSH, GROUP_PUSH, *ADMIN)
PATHS = ("/imopenapi/", "/admin/")
"""The beginnings of all their paths."""


def add_routes(app: web.Application, node: Node) -> None:
    gate, passwords = OfficeGate(KeyGuard(node.settings.api.key, node.rpc)), Passwords()
    office = BackOffice(node, gate, passwords)
    for endpoint in ENDPOINTS:
        office.add(app, endpoint)
    SignIn(node, gate, passwords).add_routes(app)

    async def close(_: web.Application) -> None:
        passwords.close()

    app.on_cleanup.append(close)
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
