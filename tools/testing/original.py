"""Made-up rows of the original's database, as its own servers would have written them.

`Original` says what happens: users log in, write, make groups, recall. What it writes goes to a form of the database
(original_forms.py).
"""

import base64
import random
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.padding import PKCS7

from tools.wire import proto2
from tools.wire.bodies import GROUP, PRIVATE, WireAccount

EPOCH_MS = 1514736000000
START_MS = 1767225600000
"""2026-01-01: when the first thing happens."""
TEXT, TIP, RECALLED = 1, 90, 80
CREATED, ADDED, KICKED, QUIT, DISMISSED = 104, 105, 106, 107, 108
MESSAGE_TABLES, INBOX_TABLES = 36, 128

Values = Mapping[str, Any]


class DatabaseForm(ABC):
    """A form of the database that rows are written to."""

    @abstractmethod
    def put(self, table: str, row: Values) -> None:
        """Write a row; the tables of messages and inboxes are `t_messages` and `t_user_messages`."""

    @abstractmethod
    def change(self, table: str, keys: Values, values: Values) -> None:
        """Change the rows with some values, or remove them where `values` is empty."""

    @abstractmethod
    def recall(self, row: Values) -> None:
        """Write what a recall makes of a message."""


@dataclass(frozen=True)
class OriginalDevice:
    """A device that the original has logged in, as `connect` of a wire takes it."""

    account: WireAccount
    db_secret: str


@dataclass
class OriginalUser:
    uid: str
    number: str
    devices: dict[str, OriginalDevice] = field(default_factory=dict)
    head: int = 0
    """The last seq of the inbox."""
    inbox: dict[int, int] = field(default_factory=dict)
    """The message ids by seq, where Original.remembers."""


class Original:
    """What happens on the original's servers."""

    def __init__(self, form: DatabaseForm, seed: int = 1, remembers: bool = True) -> None:
        self.form = form
        self.now = START_MS
        self.people: dict[str, OriginalUser] = {}
        self._chance = random.Random(seed)
        self._remembers = remembers
        self._members: dict[str, dict[str, int]] = {}
        self._rows: dict[int, Values] = {}
        self._counter = 0
        form.put(
            "t_user",
            {"_uid": "FireRobot", "_name": "FireRobot", "_display_name": "小火", "_type": 1, "_dt": 1},
        )
        form.put("t_robot", {"_uid": "FireRobot", "_owner": "FireRobot", "_secret": "123456", "_dt": 1})

    def id(self, wait_ms: int = 200) -> int:
        """Return the id of a message that is sent so much later."""
        self.now += wait_ms
        self._counter = (self._counter + 1) % 0x7FFF
        return (self.now - EPOCH_MS) << 21 | 0 << 15 | self._counter

    def user(self, number: str, name: str = "", **columns: object) -> OriginalUser:
        uid = "".join(self._chance.choices("0123456789abcdefghijkmnopqrstuvwxyzABCDEFGH", k=8))
        person = self.people[uid] = OriginalUser(uid, number)
        row = {
            "_uid": uid,
            "_name": number,
            "_display_name": name or number,
            "_mobile": number,
            "_extra": None,
            "_dt": self.now,
        }
        self.form.put("t_user", {**row, **columns})
        return person

    def device(self, person: OriginalUser, client_id: str) -> OriginalDevice:
        """Log a device in."""
        secret, db_secret = (str(uuid.UUID(int=self._chance.getrandbits(128))) for _ in range(2))
        self.form.put(
            "t_user_session",
            {
                "_uid": person.uid,
                "_cid": client_id,
                "_token": "",
                "_secret": secret,
                "_db_secret": db_secret,
                "_dt": self.now,
            },
        )
        token = user_token(person.uid, self.now)
        device = OriginalDevice(WireAccount(person.uid, client_id, token, secret), db_secret)
        person.devices[client_id] = device
        return device

    def befriend(self, one: OriginalUser, other: OriginalUser, reason: str = "hi") -> None:
        """Let one ask the other, who says yes."""
        self.now += 100
        row = {"_uid": one.uid, "_friend_uid": other.uid, "_reason": reason, "_status": 1, "_dt": self.now}
        self.form.put("t_friend_request", {**row, "_from_read_status": 0, "_to_read_status": 1})
        for a, b in ((one, other), (other, one)):
            friend = {"_uid": a.uid, "_friend_uid": b.uid, "_state": 0, "_dt": self.now, "_alias": ""}
            self.form.put("t_friend", friend)
        self.text(one, other, reason)
        for tip in ("以上是打招呼信息", "你们已经成为好友了，现在可以开始聊天了"):
            self._send(one, PRIVATE, other.uid, {"type": TIP, "content": tip}, (other,))

    def text(self, sender: OriginalUser, target: OriginalUser, text: str) -> int:
        return self._send(sender, PRIVATE, target.uid, {"type": TEXT, "searchable_content": text}, (target,))

    def content(self, sender: OriginalUser, target: OriginalUser, **fields: object) -> int:
        """Send a message with some fields of MessageContent."""
        return self._send(sender, PRIVATE, target.uid, fields, (target,))

    def signal(self, sender: OriginalUser, target: OriginalUser) -> None:
        """Send a signal of a call: it takes a seq and is not stored."""
        id = self.id()
        for person in (target, sender):
            self._enter(person, id)

    def hole(self, person: OriginalUser, seqs: int) -> None:
        """Let a client pull from above the head: the next entry comes behind that."""
        person.head += seqs

    def recall(self, id: int, operator: OriginalUser) -> None:
        row = self._rows[id]
        self.now += 500
        content = {"type": RECALLED, "content": operator.uid, "data": str(id).encode()}
        self.form.recall(
            {**row, "_data": content_of(content), "_searchable_key": "", "_dt": date_of(self.now)}
        )

    # Groups

    def group(
        self, owner: OriginalUser, members: Sequence[OriginalUser], name: str = "group", kind: int = 0
    ) -> str:
        gid = "".join(self._chance.choices("23456789JKLMNPQRSTUVWXYZ", k=8))
        self.now += 100
        people = {owner.uid: 2, **{person.uid: 0 for person in members}}
        row = {"_gid": gid, "_name": name, "_portrait": "", "_owner": owner.uid, "_type": kind, "_extra": ""}
        times = {"_dt": self.now, "_member_count": len(people), "_member_dt": self.now}
        self.form.put("t_group", {**row, **times})
        for uid, type in people.items():
            self._seat(gid, uid, type)
        self._members[gid] = people
        self._notice(owner, gid, CREATED, n=name, m="")
        return gid

    def group_text(self, sender: OriginalUser, gid: str, text: str) -> int:
        return self._send(
            sender, GROUP, gid, {"type": TEXT, "searchable_content": text}, self._others(gid, sender)
        )

    def add(self, operator: OriginalUser, gid: str, people: Sequence[OriginalUser]) -> None:
        """Add members: those who were there before keep their row."""
        for person in people:
            self.form.change("t_group_member", {"_gid": gid, "_mid": person.uid}, {})
            self._seat(gid, person.uid, 0)
            self._members[gid][person.uid] = 0
        self._counted(gid)
        self._notice(operator, gid, ADDED, ms=[person.uid for person in people])

    def kick(self, operator: OriginalUser, gid: str, person: OriginalUser) -> None:
        self._notice(operator, gid, KICKED, ms=[person.uid])
        self.form.change("t_group_member", {"_gid": gid, "_mid": person.uid}, {"_type": 4})
        del self._members[gid][person.uid]
        self._counted(gid)

    def quit(self, person: OriginalUser, gid: str) -> None:
        """Quit: only the number of members tells of it, and the notice."""
        self._notice(person, gid, QUIT, m="")
        del self._members[gid][person.uid]
        self._counted(gid)

    def dismiss(self, owner: OriginalUser, gid: str) -> None:
        """Dismiss a group: its rows go, its messages stay."""
        self._notice(owner, gid, DISMISSED, m="")
        self.form.change("t_group", {"_gid": gid}, {})
        self.form.change("t_group_member", {"_gid": gid}, {})
        del self._members[gid]

    def _others(self, gid: str, sender: OriginalUser) -> list[OriginalUser]:
        return [self.people[uid] for uid in self._members[gid] if uid != sender.uid]

    def _seat(self, gid: str, uid: str, type: int) -> None:
        row = {"_gid": gid, "_mid": uid, "_alias": "", "_type": type, "_dt": self.now}
        self.form.put("t_group_member", row)

    def _counted(self, gid: str) -> None:
        count = {"_member_count": len(self._members[gid]), "_dt": self.now, "_member_dt": self.now}
        self.form.change("t_group", {"_gid": gid}, count)

    def _notice(self, operator: OriginalUser, gid: str, type: int, **said: object) -> None:
        named = ",".join(
            f'"{key}":[{",".join(f"{chr(34)}{one}{chr(34)}" for one in value)}]'
            if isinstance(value, list)
            else f'"{key}":"{value}"'
            for key, value in said.items()
        )
        data = f'{{"g":"{gid}","o":"{operator.uid}",{named}}}'
        self._send(operator, GROUP, gid, {"type": type, "data": data.encode()}, self._others(gid, operator))

    # Messages

    def _send(
        self, sender: OriginalUser, kind: int, target: str, content: Values, receivers: Sequence[OriginalUser]
    ) -> int:
        id = self.id()
        row = {
            "_mid": id,
            "_from": sender.uid,
            "_type": kind,
            "_target": target,
            "_line": 0,
            "_data": content_of(content),
            "_searchable_key": content.get("searchable_content", ""),
            "_dt": date_of(self.now),
        }
        self.form.put("t_messages", row)
        if self._remembers:
            self._rows[id] = row
        for person in (*receivers, sender):
            self._enter(person, id)
        return id

    def _enter(self, person: OriginalUser, id: int) -> None:
        person.head = person.head + 1 if person.head else id
        if self._remembers:
            person.inbox[person.head] = id
        row = {"_mid": id, "_uid": person.uid, "_seq": person.head, "_dt": date_of(self.now)}
        self.form.put("t_user_messages", row)


def user_token(uid: str, ms: int) -> str:
    """Return the user_token that the original gives at a login."""
    padder = PKCS7(64).padder()
    plain = padder.update(f"testim|{ms}|{uid}".encode()) + padder.finalize()
    encryptor = Cipher(TripleDES(b"abcdefgh" * 3), modes.CBC(bytes(range(1, 9)))).encryptor()
    return base64.b64encode(encryptor.update(plain) + encryptor.finalize()).decode()


def content_of(fields: Values) -> bytes:
    """Return a MessageContent as the original stores it: `data` and `media_type` are always there."""
    return proto2.encode("MessageContent", {**fields, "data": fields.get("data", b""), "media_type": 0})


def date_of(ms: int) -> datetime:
    """Return a time as the database has it: in UTC, without a time zone."""
    return datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)


def java_hash(text: str) -> int:
    """Return what Java's String.hashCode is, as a signed number."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def message_table(id: int) -> int:
    """Return the number of the table that a message is in."""
    at = date_of((id >> 21) + EPOCH_MS)
    return at.year % 3 * 12 + at.month - 1


def fill(original: Original, messages: int, people: int, chance: random.Random) -> tuple[int, int]:
    """Let many messages happen: nine in ten are private ones, the others in groups of ten.

    Return the id behind which they begin, and the last one.
    """
    everybody = [original.user(f"138{number:08}", f"用户 {number}") for number in range(people)]
    for person in everybody:
        original.device(person, "phone")
    groups = []
    for start in range(0, people - 10, 10):
        owner, *others = everybody[start : start + 10]
        groups.append((original.group(owner, others), [owner, *others]))
    since = last = original.id()
    words = [
        "今天天气不错",
        "我们",
        "明天",
        "开会",
        "hello",
        "world",
        "请",
        "看",
        "一下",
        "文件",
        "好的",
        "收到",
    ]
    for _ in range(messages):
        original.now += chance.randrange(2000)
        said = " ".join(chance.choices(words, k=chance.randrange(1, 12)))
        if chance.random() < 0.9 or not groups:
            one, other = chance.sample(everybody, 2)
            last = original.text(one, other, said)
        else:
            gid, members = chance.choice(groups)
            last = original.group_text(chance.choice(members), gid, said)
    return since, last
