"""The versions of what every group process has a copy of, such as the sensitive words (roles/group/copies.py)."""

from fsharechat.store.unit import Dialect, Query, Unit


def version(_: Dialect, fact: str) -> Unit[bytes]:
    """Return the version, which differs after each change; empty if there never was one."""
    rows = (yield Query("SELECT value FROM facts WHERE name = ?", (fact,))).rows
    return rows[0][0] if rows else b""


def set_version(dialect: Dialect, fact: str, new: bytes) -> Unit[None]:
    """Set the version. Its row stays locked, so that changes by several processes come one after the other."""
    yield Query(dialect.upsert("facts", ("name",), ("value",)), (fact, new))
