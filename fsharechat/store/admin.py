"""What the back office reads and changes of users and groups."""

from collections.abc import Sequence

from fsharechat.store import users
from fsharechat.store.unit import Dialect, Query, Unit, select_in


def uids_of(_: Dialect, numbers: Sequence[str]) -> Unit[dict[str, str]]:
    """Return the uids of those of the login numbers that somebody has, by number."""
    return dict((yield from select_in("SELECT number, uid FROM users WHERE number IN ({})", numbers)))


def keep_system_user(dialect: Dialect, uid: str, display_name: str, now: int) -> Unit[None]:
    """See to it that there is a user of that display name whose number is the uid: nobody can log in with it."""
    rows = (yield Query("SELECT display_name FROM users WHERE uid = ?", (uid,))).rows
    if not rows:
        yield from users.insert(dialect, uid, uid, display_name, now)
        yield from users.modify(dialect, uid, {"mobile": ""}, now)
    elif rows[0][0] != display_name:
        yield from users.modify(dialect, uid, {"display_name": display_name}, now)
