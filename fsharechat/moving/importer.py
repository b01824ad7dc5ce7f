"""Copies the original's database into the store, page by page (`fsharechat import-data`).

The order matters: messages need the sessions and groups, inboxes the messages. Each page and how far it goes are one
transaction.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from fsharechat.clock import now_ms
from fsharechat.moving import rows
from fsharechat.moving.report import ImportReport, ProgressTicker
from fsharechat.moving.sample import ImportSample
from fsharechat.moving.source import ImportSource, Row, SourceError, SourceTable, tables_of
from fsharechat.protocol.ids import MAX_AHEAD_MS, time_of
from fsharechat.store import heads, import_end, import_messages, imports, messages, words
from fsharechat.store.import_messages import InboxRow
from fsharechat.store.imports import ImportFinding, ImportOutcome, ImportProgress, Put
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit

K = TypeVar("K")

NOT_TAKEN = {
    "t_robot": "robots: their keys and callbacks",
    "t_channel": "channels",
    "t_thing": "things",
    "t_delivery_report": "delivery reports",
    "t_read_report": "read reports",
}
"""Tables that have no place here, and what they hold."""

NEEDED = ("t_user", "t_user_session", "t_messages", "t_user_messages")


class RowKind:
    """A kind of rows: the tables of the source, the columns, and what puts a page of them."""

    def __init__(
        self, name: str, table: str, columns: Sequence[str], put: Callable[[Sequence[Row]], Put]
    ) -> None:
        self.name, self.table, self.columns, self.put = name, table, columns, put


class Importer:
    """One run of an import."""

    def __init__(
        self, source: ImportSource, store: Store, ticker: ProgressTicker, report: ImportReport
    ) -> None:
        self._source = source
        self._store = store
        self._ticker = ticker
        self._sample = ImportSample()
        self._report = report
        self.totals: dict[str, ImportProgress] = {}
        """By kind of rows."""
        self._kinds = (
            RowKind("users", "t_user", rows.USER, self._users),
            RowKind("statuses", "t_user_status", ("_uid", "_status"), self._statuses),
            RowKind("sessions", "t_user_session", rows.SESSION, self._sessions),
            RowKind("friends", "t_friend", rows.FRIEND, self._friends),
            RowKind("friend requests", "t_friend_request", rows.REQUEST, self._requests),
            RowKind("settings", "t_user_setting", rows.SETTING, self._settings),
            RowKind("sensitive words", "t_sensitiveword", ("_word",), self._words),
            RowKind("groups", "t_group", rows.GROUP, self._groups),
            RowKind("members", "t_group_member", rows.MEMBER, self._members),
            RowKind("messages", "t_messages", rows.MESSAGE, self._messages),
            RowKind("inbox entries", "t_user_messages", rows.INBOX, self._inbox),
        )

    async def run(self) -> list[str]:
        """Copy everything; return what the check at the end found to be wrong.

        Raises SourceError, ImportRefused and StoreError. What was stored until then stays, and the next run goes on.
        """
        tables = await self._source.open()
        missing = [name for name in NEEDED if not tables_of(tables, name)]
        if missing:
            raise SourceError(
                f"{self._source.name} is not a database of the original: there is no {', '.join(missing)}"
            )
        now = now_ms()
        progress = await self._store.write(imports.begin, self._source.name, now)
        if progress:
            self._ticker.say("an import had begun: it goes on where it was")
        await self._store.begin_import()
        for kind in self._kinds:
            await self._copy(kind, tables, progress)
        self._ticker.say("all rows are read; the history is sorted")
        await self._store.end_import()
        await self._settle()
        problems = await self._check()
        await self._look_at_the_clock(now)
        self._name_what_is_not_taken(tables)
        if not problems:
            while await self._store.write(import_end.forget_notes):
                pass
            await self._store.write(imports.finish, self._source.name, now)
        return problems

    async def _copy(
        self, kind: RowKind, tables: Mapping[str, SourceTable], progress: dict[str, ImportProgress]
    ) -> None:
        total = ImportProgress()
        for table in tables_of(tables, kind.table):
            done = await self._copy_table(kind, table, progress.get(table.name, ImportProgress()))
            total = ImportProgress(
                0, total.read + done.read, total.put + done.put, total.left_out + done.left_out, True
            )
        self.totals[kind.name] = total

    async def _copy_table(self, kind: RowKind, table: SourceTable, before: ImportProgress) -> ImportProgress:
        if before.done:
            return before
        page = await self._source.page(table, kind.columns, before.at)
        while True:
            # The next page is read while this one is written.
            reading = (
                None if page.last else asyncio.create_task(self._source.page(table, kind.columns, page.at))
            )
            try:
                outcome, before = await self._store.write(
                    imports.step, table.name, before, page.at, len(page.rows), page.last, kind.put(page.rows)
                )
            except BaseException:
                if reading is not None:
                    reading.cancel()
                    await asyncio.wait([reading])
                raise
            self._report.add(outcome.findings)
            self._ticker.moved(f"{kind.name} ({table.name})", len(page.rows), before.read, table.rows)
            if reading is None:
                return before
            page = await reading

    # What puts the rows of each kind

    def _users(self, page: Sequence[Row]) -> Put:
        users = [rows.user(row) for row in page]
        lost = [
            ImportFinding("a user has no number or address to log in by", f"{user.uid} ({user.name})")
            for user in users
            if not user.number and user.type == 0
        ]
        return _with(imports.put_users(users), lost)

    def _statuses(self, page: Sequence[Row]) -> Put:
        return imports.put_statuses([(rows.text(uid), rows.number(status)) for uid, status in page])

    def _sessions(self, page: Sequence[Row]) -> Put:
        taken, lost = _read(page, rows.session, lambda row: f"{row[0]} {row[1]}")
        return _with(imports.put_rows("sessions", rows.SESSION_HERE, taken), lost, left_out=len(lost))

    def _friends(self, page: Sequence[Row]) -> Put:
        taken = [rows.friend(row) for row in page]
        versions = ((row[0], row[4]) for row in taken)
        return imports.put_versioned("friends", rows.FRIEND_HERE, taken, heads.FRIENDS, versions)

    def _requests(self, page: Sequence[Row]) -> Put:
        taken = [rows.request(row) for row in page]
        versions = [(uid, row[6]) for row in taken for uid in row[:2]]
        return imports.put_versioned("friend_requests", rows.REQUEST_HERE, taken, heads.REQUESTS, versions)

    def _settings(self, page: Sequence[Row]) -> Put:
        taken = [rows.setting(row) for row in page]
        versions = ((row[0], row[4]) for row in taken)
        return imports.put_versioned("user_settings", rows.SETTING_HERE, taken, heads.SETTINGS, versions)

    def _words(self, page: Sequence[Row]) -> Put:
        written = [rows.text(word) for (word,) in page]
        kept = list(dict.fromkeys(filter(None, map(words.kept, written))))
        lost = [
            ImportFinding(
                f"a sensitive word has not 1 to {words.MAX_WORD} characters", word[: words.MAX_WORD]
            )
            for word in written
            if not words.kept(word)
        ]
        version = secrets.token_bytes(16)

        def put(dialect: Dialect) -> Unit[ImportOutcome]:
            outcome = ImportOutcome()
            try:
                outcome.put = (yield from words.add(dialect, kept, version)) if kept else 0
            except words.TooManyWords:
                outcome.note(
                    f"there are more than {words.MAX_WORDS} sensitive words", f"{len(kept)} left out"
                )
            outcome.left_out = len(page) - outcome.put
            return outcome

        return _with(put, lost)

    def _groups(self, page: Sequence[Row]) -> Put:
        return imports.put_rows("chat_groups", rows.GROUP_HERE, [rows.group(row) for row in page])

    def _members(self, page: Sequence[Row]) -> Put:
        return imports.put_members([rows.member(row) for row in page])

    def _messages(self, page: Sequence[Row]) -> Put:
        taken, lost = _read(page, rows.message, lambda row: str(row[0]))
        self._sample.look_at_messages(taken)
        return _with(import_messages.put_messages(taken, rows.with_id), lost, left_out=len(lost))

    def _inbox(self, page: Sequence[Row]) -> Put:
        taken = [InboxRow(rows.text(uid), rows.number(seq), rows.number(id)) for uid, seq, id in page]
        self._sample.look_at_inbox(taken)
        return import_messages.put_inbox(taken)

    # The end

    async def _settle(self) -> None:
        """Do what needs all rows together."""
        self._ticker.say("who has quit, and which groups are gone, is looked up")
        none = ("", "")
        await self._through(import_end.put_late, none)
        await self._through(import_end.give_back_greetings, none)
        await self._through(import_end.take_out_quitters, none)
        await self._through(import_end.bury_groups, "")
        await self._through(import_end.count_members, "")
        await self._through(import_end.look_beneath, none)

    async def _through(
        self, unit: Callable[[Dialect, K], Unit[tuple[ImportOutcome, K | None]]], first: K
    ) -> None:
        after: K | None = first
        while after is not None:
            outcome, after = await self._store.write(unit, after)
            self._report.add(outcome.findings)

    async def _check(self) -> list[str]:
        """Compare counts and a sample with what was read; return what is wrong."""
        self._ticker.say("the counts and a sample are checked")
        counted = {
            "users": await self._count_up("users", "uid", ""),
            "sessions": await self._count_by("sessions", "uid"),
            "friends": await self._count_by("friends", "uid"),
            "friend requests": await self._count_by("friend_requests", "from_uid"),
            "settings": await self._count_by("user_settings", "uid"),
            "groups": await self._count_by("chat_groups", "id", import_end.NOT_BURIED),
            "members": await self._count_by("group_members", "group_id", import_end.NOT_BURIED),
            "messages": await self._count_up("messages", "id", 0),
            "inbox entries": await self._count_by("inbox", "uid"),
        }
        problems = [
            f"{name}: {self.totals[name].put:,} were put, and the store has {count:,}"
            for name, count in counted.items()
            if count != self.totals[name].put
        ]
        return problems + await self._sample.compare(self._store)

    async def _look_at_the_clock(self, now: int) -> None:
        newest = await self._store.read(messages.newest)
        if newest and (ahead := time_of(newest) - now) > MAX_AHEAD_MS:
            kind = (
                "the newest message is of the future: the clock of the original or of this machine is wrong"
            )
            self._report.add([ImportFinding(kind, f"{newest}, by {ahead // 1000} s")])

    async def _count_up(self, table: str, key: str, first: str | int) -> int:
        total, after = 0, first
        while True:
            number, last = await self._store.write(import_end.count_up, table, key, after)
            total += number
            if last is None:
                return total
            after = last

    async def _count_by(self, table: str, key: str, condition: str = "") -> int:
        total, after = 0, ""
        while True:
            number, last = await self._store.write(import_end.count_by, table, key, condition, after)
            total += number
            if last is None:
                return total
            after = last

    def _name_what_is_not_taken(self, tables: Mapping[str, SourceTable]) -> None:
        for name, what in NOT_TAKEN.items():
            if name in tables and tables[name].rows:
                self._report.add([ImportFinding("is not taken", f"{what} ({name})")])


def _read(
    page: Sequence[Row], read: Callable[[Row], Any], name: Callable[[Row], str]
) -> tuple[list[Any], list[ImportFinding]]:
    """Return the rows that can be taken, and why the others cannot."""
    taken: list[Any] = []
    lost: list[ImportFinding] = []
    for row in page:
        try:
            taken.append(read(row))
        except rows.UnreadableRow as error:
            lost.append(ImportFinding(f"{error} is not taken", name(row)))
    return taken, lost


def _with(put: Put, findings: Sequence[ImportFinding], left_out: int = 0) -> Put:
    """Return what puts the same, and tells of what was found before."""

    def both(dialect: Dialect) -> Unit[ImportOutcome]:
        outcome = yield from put(dialect)
        outcome.left_out += left_out
        outcome.findings.extend(findings)
        return outcome

    return both
