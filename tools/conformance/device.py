"""A device of a user: the requests of section 7, the same over both transports."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

from tools.conformance.arrived import ArrivedFrame
from tools.conformance.checks import Refused, same
from tools.conformance.links import Matches, SuiteLink
from tools.wire import proto2
from tools.wire.bodies import (
    PING_INTERVAL,
    PRIVATE,
    Draft,
    Object,
    WireAccount,
    connect_body,
    new_local_id,
    proto_content,
    pull_body,
    text,
    web_pull,
)
from tools.wire.clients import BOUND

ACCEPTED = "CONNECTION_ACCEPTED"


@dataclass(frozen=True)
class SuiteLogin(WireAccount):
    """The result of a device's login, and the number of its user."""

    number: str
    registered: bool = False


class How(TypedDict, total=False):
    """The options of a message, besides target and content; see Draft."""

    kind: int
    line: int
    to: Sequence[str]
    local_id: int
    flag: int | None
    sender: str


class SuiteDevice:
    """A logged-in device on a connection."""

    def __init__(self, link: SuiteLink, session: SuiteLogin) -> None:
        self.link, self.session = link, session
        self.uid = session.user_id
        self.connected: Object = {}
        """The content of the CONNECT_ACK."""
        self._last_id = 0
        self._groups: set[str] = set()

    @property
    def by_tcp(self) -> bool:
        return self.link.transport == "tcp"

    async def connect(self, **changes: object) -> str:
        """Send a CONNECT and return the sub-signal of the answer."""
        body = connect_body(self.session, **changes)
        self.link.viewer = self.uid
        await self.link.send("CONNECT", body=json.dumps(body).encode(), content=body)
        answer = await self.link.until(lambda frame: frame.signal == "CONNECT_ACK", "a CONNECT_ACK")
        self.connected = answer.content or {}
        return answer.sub

    async def disconnect(self, clear: int) -> None:
        await self.link.send("DISCONNECT", body=bytes([clear]), content={"clearSession": clear})
        await self.link.until_closed()

    async def ping(self, message_id: int = 1) -> ArrivedFrame:
        """Send a PING and return its answer. After it, everything that the server sent before has come."""
        await self.link.send(
            "PING", message_id=message_id, body=json.dumps(PING_INTERVAL).encode(), content=PING_INTERVAL
        )
        return await self.link.until(
            lambda frame: frame.signal == "PING" and frame.message_id == message_id, "the answer to a PING"
        )

    # Requests

    async def ask(
        self, sub: str, message: str, fields: proto2.Fields, content: Any, *, frame_id: int | None = None
    ) -> Any:
        """Send a request and return the payload of its answer. Raises Refused."""
        body = proto2.encode(message, fields)
        return (await self.ask_raw(sub, body, content, frame_id=frame_id)).content

    async def ask_raw(
        self, sub: str, body: bytes, content: Any = None, *, frame_id: int | None = None
    ) -> ArrivedFrame:
        """Send a request unchanged, and return its answer. Without an id the frame has the next one.

        Raises Refused.
        """
        if frame_id is None:
            frame_id = self._last_id = self._last_id % 0xFFFF + 1
        message_id = frame_id
        await self.link.send("PUBLISH", sub, message_id, body, content)
        answer = await self.link.until(
            lambda frame: frame.signal == "PUB_ACK" and frame.message_id == message_id, f"the answer to {sub}"
        )
        same(answer.sub, sub, "the sub-signal of an answer")
        if answer.failed:
            raise Refused(sub, answer.code)
        return answer

    async def send(
        self,
        target: str,
        content: str | Mapping[str, Any],
        *,
        frame_id: int | None = None,
        **how: Unpack[How],
    ) -> Object:
        """Send a message (a text, or a content). Return its messageId and timestamp."""
        draft = self.draft(target, content, **how)
        sent: Object = await self.ask("MS", "Message", draft.fields(), draft.web(), frame_id=frame_id)
        return sent

    def draft(self, target: str, content: str | Mapping[str, Any], **how: Unpack[How]) -> Draft:
        """Return a message of this device (a text, or a content), with a new local id if `how` has none."""
        how.setdefault("sender", self.uid)
        how.setdefault("local_id", new_local_id())
        return Draft(target, text(content) if isinstance(content, str) else content, **how)

    async def pull(self, after: int = 0) -> Object:
        """Return the entries after a seq (MP)."""
        pulled: Object = (await self.ask_raw("MP", pull_body(after), web_pull(after))).content
        return pulled

    async def upto(self, head: int, after: int = 0) -> Object:
        """Return the entries after a seq, when the inbox has exactly `head` entries.

        In a cluster, actions of others may need a moment to reach the connector of a device.
        """
        pause = 0.01
        async with asyncio.timeout(BOUND):
            while (found := await self.pull(after))["head"] < head:
                await asyncio.sleep(pause)
                pause *= 1.5
        same(found["head"], head, "the head of the inbox")
        return found

    async def inbox(self, head: int, after: int = 0) -> list[Object]:
        """Return the messages after a seq, when the inbox has exactly `head` entries.

        A server sends entries again if it is not sure that the device has them. They are skipped, as devices do.
        """
        messages: list[Object] = (await self.upto(head, after))["messageResponseList"]
        return messages[max(0, len(messages) - (head - after)) :]

    async def texts(self, head: int, after: int = 0) -> list[str]:
        """Return the texts after a seq, when the inbox has exactly `head` entries."""
        return [message["content"]["searchableContent"] for message in await self.inbox(head, after)]

    async def history(
        self, target: str, *, kind: int = PRIVATE, before: int = 0, count: int = 20, line: int = 0
    ) -> list[Object]:
        """Return messages of a conversation (LRM)."""
        where = {"type": kind, "target": target, "line": line}
        fields = {"conversation": where, "before_uid": before, "count": count}
        web = {"beforeUid": str(before), "count": count, "conversation": where}
        messages: list[Object] = (await self.ask("LRM", "LoadRemoteMessages", fields, web))[
            "messageResponseList"
        ]
        return messages

    async def recall(self, message_id: int) -> None:
        await self.ask("MR", "INT64Buf", {"id": message_id}, {"messageUid": str(message_id)})

    async def edit(self, message_id: int, content: Object) -> None:
        """Give a message a new content, with the keys of web clients (ME)."""
        fields = {"id": message_id, "content": proto_content(content, None)}
        await self.ask(
            "ME", "EditMessageRequest", fields, {"messageUid": str(message_id), "content": content}
        )

    async def by_ids(self, *message_ids: int) -> list[Object]:
        """Return messages by their ids (MGI)."""
        web = {"messageUids": list(map(str, message_ids))}
        found: Object = await self.ask("MGI", "MessageIds", {"id": list(message_ids)}, web)
        messages: list[Object] = found["messageResponseList"]
        return messages

    async def react(self, message_id: int, *emoji: str) -> None:
        fields = {"id": message_id, "emoji": list(emoji)}
        await self.ask("REA", "ReactRequest", fields, {"messageUid": str(message_id), "emoji": list(emoji)})

    async def reactions(self, *message_ids: int) -> list[Object]:
        """Return the reactions to messages (REL)."""
        web = {"messageUids": list(map(str, message_ids))}
        found: list[Object] = await self.ask("REL", "MessageIds", {"id": list(message_ids)}, web)
        return found

    async def search(self, keyword: str, fuzzy: int = 0, page: int = 0) -> list[Object]:
        fields = {"keyword": keyword, "fuzzy": fuzzy, "page": page}
        found: list[Object] = await self.ask("US", "SearchUserRequest", fields, fields)
        return found

    async def users(self, *uids: str) -> list[Object]:
        fields = {"request": [{"uid": uid} for uid in uids]}
        found: list[Object] = await self.ask("UPUI", "PullUserRequest", fields, list(uids))
        return found

    async def modify_me(self, kind: int, value: str) -> None:
        entry = {"type": kind, "value": value}
        await self.ask("MMI", "ModifyMyInfoRequest", {"entry": [entry]}, entry)

    async def add_friend(self, target: str, reason: str = "hello") -> None:
        web = {"targetUserId": target, "reason": reason}
        await self.ask("FAR", "AddFriendRequest", {"target_uid": target, "reason": reason}, web)

    async def delete_friend(self, target: str) -> None:
        await self.ask("FDL", "DeleteFriendRequest", {"target_uid": target}, {"targetUserId": target})

    async def blacklist(self, target: str, status: int = 1) -> None:
        web = {"targetUserId": target, "status": status}
        await self.ask("BLU", "BlacklistUserRequest", {"target_uid": target, "status": status}, web)

    async def handle_friend(self, target: str, status: int = 1) -> None:
        web = {"targetUid": target, "status": status}
        await self.ask("FHR", "HandleFriendRequest", {"target_uid": target, "status": status}, web)

    async def friend_requests(self, version: int = 0) -> list[Object]:
        return await self._newer("FRP", version)

    async def read_friend_requests(self, version: int = 0) -> None:
        await self.ask("FRUS", "Version", {"version": version}, {"version": str(version)})

    async def friends(self, version: int = 0) -> list[Object]:
        return await self._newer("FP", version)

    async def _newer(self, sub: str, version: int) -> list[Object]:
        found: list[Object] = await self.ask(sub, "Version", {"version": version}, {"version": str(version)})
        return found

    async def set_alias(self, target: str, alias: str) -> None:
        web = {"targetUserId": target, "reason": alias}
        await self.ask("FALS", "AddFriendRequest", {"target_uid": target, "reason": alias}, web)

    # Groups

    async def create_group(
        self,
        members: Sequence[str],
        *,
        kind: int = 0,
        name: str = "",
        group_id: str = "",
        notice: Object | None = None,
    ) -> str:
        """Create a group and return its id. Web clients learn a generated one from the notice."""
        info = {"target_id": group_id, "name": name, "owner": self.uid, "type": kind}
        fields: proto2.Fields = {
            "group": {"group_info": info, "members": [{"member_id": uid, "type": 0} for uid in members]}
        }
        if notice:
            fields["notify_content"] = notice
        web = {
            "groupInfo": {"target": group_id, "name": name, "owner": self.uid, "type": kind, "portrait": ""},
            "groupMembers": [{"memberId": uid, "type": 0} for uid in members],
        }
        answer = await self.ask("GC", "CreateGroupRequest", fields, web)
        if self.by_tcp:
            return str(answer)
        if group_id:
            return group_id
        return await self._new_group()

    async def _new_group(self) -> str:
        """Return the group that this device has made, from its notice."""
        async with asyncio.timeout(BOUND):
            while True:
                for one in (await self.pull())["messageResponseList"]:
                    if one["content"]["type"] == 104 and one["target"] not in self._groups:
                        self._groups.add(one["target"])
                        return str(one["target"])
                await asyncio.sleep(0.05)

    async def groups(self, *group_ids: str) -> list[Object]:
        fields = {"request": [{"uid": one} for one in group_ids]}
        found: list[Object] = await self.ask("GPGI", "PullUserRequest", fields, list(group_ids))
        return found

    async def members(self, group_id: str, head: int = 0) -> list[Object]:
        web = {"groupId": group_id, "version": str(head)}
        fields = {"target": group_id, "head": head}
        found: list[Object] = await self.ask("GPGM", "PullGroupMemberRequest", fields, web)
        return found

    async def add_members(
        self, group_id: str, *uids: str, kind: int = 0, notice: Object | None = None
    ) -> None:
        fields = {
            "group_id": group_id,
            "added_member": [{"member_id": uid, "type": kind} for uid in uids],
            "notify_content": notice,
        }
        web = {"groupId": group_id, "groupMembers": [{"memberId": uid, "type": kind} for uid in uids]}
        await self.ask("GAM", "AddGroupMemberRequest", fields, web)

    async def kick(self, group_id: str, *uids: str) -> None:
        fields = {"group_id": group_id, "removed_member": list(uids)}
        await self.ask(
            "GKM", "RemoveGroupMemberRequest", fields, {"groupId": group_id, "memberIds": list(uids)}
        )

    async def quit(self, group_id: str) -> None:
        await self.ask("GQ", "QuitGroupRequest", {"group_id": group_id}, {"groupId": group_id})

    async def dismiss(self, group_id: str) -> None:
        await self.ask("GD", "DismissGroupRequest", {"group_id": group_id}, {"groupId": group_id})

    async def modify_group(self, group_id: str, kind: int, value: str) -> None:
        fields = {"group_id": group_id, "type": kind, "value": value}
        web = {"groupId": group_id, "type": kind, "value": value}
        await self.ask("GMI", "ModifyGroupInfoRequest", fields, web)

    async def my_groups(self, version: int = 0, after: str = "") -> Object:
        """Return a page of the groups of this device's user (GML)."""
        fields = {"version": version, "after": after}
        found: Object = await self.ask("GML", "MyGroupsRequest", fields, {**fields, "version": str(version)})
        return found

    async def set_group_alias(self, group_id: str, alias: str) -> None:
        fields = {"group_id": group_id, "alias": alias}
        await self.ask("GMA", "ModifyGroupAliasRequest", fields, {"groupId": group_id, "alias": alias})

    async def transfer(self, group_id: str, uid: str) -> None:
        fields = {"group_id": group_id, "new_owner": uid}
        await self.ask("GTG", "TransferGroupRequest", fields, {"groupId": group_id, "newOwner": uid})

    async def set_types(self, group_id: str, kind: int, *uids: str, until: int = 0) -> None:
        fields = {"group_id": group_id, "type": kind, "member_id": list(uids), "until": until}
        web = {"groupId": group_id, "type": kind, "memberIds": list(uids), "until": until}
        await self.ask("GSM", "SetMemberTypeRequest", fields, web)

    async def devices(self) -> list[Object]:
        """Return the devices of this device's user (UDL)."""
        return await self._newer("UDL", 0)

    async def end_device(self, client_id: str) -> None:
        await self.ask("UDK", "EndDeviceRequest", {"client_id": client_id}, {"clientId": client_id})

    # Media, reports, settings

    async def upload_url(self, kind: int, key: str) -> Object:
        web = {"mediaType": kind, "key": key}
        found: Object = await self.ask("GMURL", "GetMinioUploadUrlRequest", {"type": kind, "key": key}, web)
        return found

    async def delivered(self, target: str, date: int) -> None:
        await self.ask(
            "MDR", "DeliveryReport", {"date": date, "target": target}, {"date": date, "target": target}
        )

    async def read(self, target: str, date: int, *, kind: int = PRIVATE, tos: Sequence[str] = ()) -> None:
        fields = {"type": kind, "line": 0, "target": target, "date": date, "tos": list(tos)}
        await self.ask("MRR", "ReadReport", fields, fields)

    async def reports(self, kind: int, head: int = 1) -> Object:
        """Return the reports of a kind (1 delivery, 2 read) from a report seq on (MRP)."""
        fields = {"id": head, "type": kind}
        found: Object = await self.ask(
            "MRP", "PullMessageReportRequest", fields, {"id": str(head), "type": kind}
        )
        return found

    async def settings(self, version: int = 0) -> list[Object]:
        return await self._newer("UG", version)

    async def set(self, scope: int, key: str, value: str) -> int:
        fields = {"scope": scope, "key": key, "value": value}
        version: int = (await self.ask("UP", "ModifyUserSettingReq", fields, fields))["version"]
        return version

    # Notifications

    async def notified(self, sub: str, matches: Matches = lambda _: True) -> Object:
        """Wait for a notification and return its content."""
        frame = await self.link.until(
            lambda frame: frame.signal == "PUBLISH" and frame.sub == sub and matches(frame),
            f"a notification {sub}",
        )
        content: Object = frame.content
        return content

    async def mn(self, at_least: int = 1) -> int:
        """Wait for an MN with a head of at least so much, and return its head."""
        found = await self.notified("MN", lambda frame: frame.content["messageHead"] >= at_least)
        head: int = found["messageHead"]
        return head

    async def pushed(self) -> Object:
        """Wait for a transparent message."""
        frame = await self.link.until(
            lambda frame: is_push(frame) and not is_probe(frame), "a transparent message"
        )
        same((frame.content["current"], frame.content["head"]), (0, 0), "current and head of a push")
        (message,) = frame.content["messageResponseList"]
        pushed: Object = message
        return pushed

    def came(self, sub: str) -> list[ArrivedFrame]:
        """Return the notifications of a kind for which nobody has waited."""
        return [frame for frame in self.link.arrived if frame.signal == "PUBLISH" and frame.sub == sub]

    async def close(self) -> None:
        await self.link.close()


PROBE = "conformance probe"


def is_probe(frame: ArrivedFrame) -> bool:
    """Return whether a push is a probe (see World). A probe may come when nobody waits for it any more."""
    (message,) = frame.content["messageResponseList"]
    text: str = message["content"]["content"]
    return text.startswith(PROBE)


def is_push(frame: ArrivedFrame) -> bool:
    return frame.signal == "PUB_ACK" and frame.sub == "MP" and frame.message_id == 0
