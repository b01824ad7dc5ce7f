"""Messages as lines of text."""

from collections.abc import Iterable
from pathlib import PurePath

from fsharechat.client.chat.known import People, Rooms
from fsharechat.client.chat.words import clock, listed, size
from fsharechat.client.errors import ClientError
from fsharechat.client.groups import GroupNotice, group_notice
from fsharechat.client.media import safe_name
from fsharechat.client.transcript import printable
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, MemberType

KINDS: dict[int, str] = {
    ContentType.VOICE: "voice",
    ContentType.IMAGE: "image",
    ContentType.LOCATION: "location",
    ContentType.FILE: "file",
    ContentType.VIDEO: "video",
    ContentType.STICKER: "sticker",
    ContentType.CALL_START: "call; take it on another device, or /decline it",
}
MAX_MEDIA = 500


class Lines:
    def __init__(self, me: str, people: People, rooms: Rooms) -> None:
        self._me = me
        self._people = people
        self._rooms = rooms
        self._media: dict[int, pb.Message] = {}  # by the number for /save; the oldest goes first
        self._numbers: dict[int, int] = {}
        self._last_number = 0

    async def learn(self, message: pb.Message) -> None:
        """Ask for the names in the line of a message. Without a connection uids are shown."""
        notice = group_notice(message)
        uids = {message.from_user}
        if notice is not None:
            uids |= {notice.operator, *notice.members[:10]}
        elif message.content.type == ContentType.RECALLED:
            uids.add(message.content.content)
        try:
            await self._people.learn(uid for uid in uids if uid)
        except ClientError:
            return

    def of(self, message: pb.Message) -> str:
        """Return the line of a message. Its names must be learnt before."""
        who = self.who(message.from_user)
        content = message.content
        at = clock(message.server_timestamp)
        notice = group_notice(message)
        if notice is not None:
            return f"{at} -- {self._notice(notice)} --"
        match content.type:
            case ContentType.TEXT:
                edited = " (edited)" if message.edited_dt else ""
                return f"{at} {who}: {printable(content.searchable_content)}{edited}"
            case ContentType.TIP:
                return f"{at} -- {printable(content.content)} --"
            case ContentType.RECALLED:
                return f"{at} {who}: ({self.recalled_by(content.content, message.from_user)})"
            case _:
                return f"{at} {who}: [{self._what(message)}]"

    def recalled_by(self, operator: str, sender: str) -> str:
        """Return "recalled", and by whom, if it was not the sender."""
        return "recalled" if operator in ("", sender) else f"recalled by {self.who(operator)}"

    def who(self, uid: str) -> str:
        return "you" if uid == self._me else self._people.name(uid)

    def media(self, number: int) -> pb.Message | None:
        """Return the message shown with this number."""
        return self._media.get(number)

    def _what(self, message: pb.Message) -> str:
        content = message.content
        kind = KINDS.get(content.type, f"message of type {content.type}")
        if not content.remote_media_url:
            return kind
        number = self._number(message)
        if content.type != ContentType.FILE:
            return f"{kind} {number}"
        amount = f", {size(int(content.content))}" if content.content.isdecimal() else ""
        return f"file {number}: {printable(content.searchable_content)}{amount}"

    def _number(self, message: pb.Message) -> int:
        known = self._numbers.get(message.message_id)
        if known is not None:
            return known
        self._last_number += 1
        self._numbers[message.message_id] = self._last_number
        self._media[self._last_number] = message
        if len(self._media) > MAX_MEDIA:
            oldest = self._media.pop(next(iter(self._media)))
            del self._numbers[oldest.message_id]
        return self._last_number

    def _notice(self, notice: GroupNotice) -> str:
        operator = self.who(notice.operator)
        members = self._names(uid for uid in notice.members if uid != notice.operator)
        match notice.kind:
            case ContentType.GROUP_CREATED:
                name = f" {printable(notice.name)}" if notice.name else ""
                return f"{operator} created the group{name}{f' with {members}' if members else ''}"
            case ContentType.MEMBERS_ADDED:
                return f"{operator} added {members}" if members else f"{operator} joined"
            case ContentType.MEMBERS_KICKED:
                return f"{operator} removed {members}"
            case ContentType.MEMBER_QUIT:
                return f"{operator} left the group"
            case ContentType.GROUP_DISMISSED:
                return f"{operator} ended the group"
            case ContentType.GROUP_RENAMED:
                return f"{operator} renamed the group to {printable(notice.name)}"
            case ContentType.TIP:
                return f"{operator} {_NEW_PLACES.get(notice.type or MemberType.NORMAL, 'changed')} {members}"
            case _:
                return f"{operator} changed the group's picture"

    def _names(self, uids: Iterable[str]) -> str:
        return listed([self.who(uid) for uid in uids])


_NEW_PLACES = {
    MemberType.OWNER: "handed the group over to",
    MemberType.MANAGER: "made a manager of",
    MemberType.SILENCED: "silenced",
    MemberType.NORMAL: "made a normal member of",
}


def file_name(message: pb.Message) -> str:
    """Return a file name for a message's media: never hidden, and never in another folder."""
    content = message.content
    told = content.searchable_content if content.type == ContentType.FILE else ""
    name = safe_name(told or PurePath(content.remote_media_url).name).lstrip(".")
    return printable(name) or "file"
