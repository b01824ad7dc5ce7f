"""The settings of users: a value for each scope and key (contract.md section 8)."""

from typing import NamedTuple

from fsharechat.protocol.sizes import SETTING, fitting, sent_size
from fsharechat.store import heads
from fsharechat.store.unit import Dialect, Query, Unit


class Setting(NamedTuple):
    """A setting. `update_dt` (ms) is its version. No other setting of the user has the same."""

    scope: int
    key: str
    value: str
    update_dt: int

    @property
    def size(self) -> int:
        """Its size in an answer, bytes."""
        return SETTING + sent_size(self.key, self.value)


_SIZES = (
    "SELECT update_dt, LENGTH(name) + LENGTH(value) FROM user_settings WHERE uid = ? AND update_dt > ? "
    "ORDER BY update_dt"
)
_ENTRIES = (
    "SELECT scope, name, value, update_dt FROM user_settings WHERE uid = ? AND update_dt > ? AND update_dt <= ? "
    "ORDER BY update_dt"
)


def changed(_: Dialect, uid: str, after: int) -> Unit[list[Setting]]:
    """Return the settings that changed after the version `after`, oldest first, as many as fit into an answer."""
    lengths = (yield Query(_SIZES, (uid, after))).rows
    # An engine may count characters here. There are at least as many bytes, so what does not fit this way never fits.
    upto = max(fitting((dt, SETTING + length) for dt, length in lengths), default=after)
    rows = (yield Query(_ENTRIES, (uid, after, upto))).rows
    return list(fitting((setting, setting.size) for setting in (Setting(*row) for row in rows)))


def has_room(_: Dialect, uid: str, scope: int, key: str, limit: int) -> Unit[bool]:
    """Return whether a user has that setting already, or has less than `limit` settings."""
    sql = "SELECT 1 FROM user_settings WHERE uid = ? AND scope = ? AND name = ?"
    if (yield Query(sql, (uid, scope, key))).rows:
        return True
    count: int = (yield Query("SELECT COUNT(*) FROM user_settings WHERE uid = ?", (uid,))).rows[0][0]
    return count < limit


def put(dialect: Dialect, uid: str, scope: int, key: str, value: str, now: int) -> Unit[int]:
    """Keep a setting. It replaces the earlier value. Return the new version in ms."""
    version = yield from heads.next_version(dialect, heads.SETTINGS, [uid], now)
    upsert = dialect.upsert("user_settings", ("uid", "scope", "name"), ("value", "update_dt"))
    yield Query(upsert, (uid, scope, key, value, version))
    return version
