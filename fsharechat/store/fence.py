"""The fence: it keeps processes of too old versions from writing to the store.

The row `store_level` of `facts` has the lowest level that may write. Without the row every level may. A process reads
it before it looks at the tables, and MySQL's pulse keeps reading it. A process below that level stops.

LEVEL goes up by one in a version beside which older code would do harm, now or after the next migration: older code
may not write what the new code relies on, or may need what the migration removes. `fsharechat fence` raises the row
to LEVEL, when no older process runs any more. A migration that removes something writes the row first, in case nobody
has.
"""

from collections.abc import Sequence

from fsharechat import __version__
from fsharechat.errors import StoreError
from fsharechat.store.unit import Dialect, Query, Row, Unit

LEVEL = 2
"""The level of this code. Releases before the fence have none, and do not read it. Code of level 1 wakes nobody, and
gives nobody anything from the logs of groups (group_log.py).
"""

NAME = "store_level"
CLOSED_BY = "store_level_version"
"""The row of `facts` with the version of the program that raised the fence."""
QUERY = f"SELECT value FROM facts WHERE name = '{NAME}'"


class StoreFenced(StoreError):
    """The store is closed to this version of the program. Trying again does not help."""


def level_in(rows: Sequence[Row]) -> int:
    """Return the lowest level that may write, from the result of QUERY."""
    return int(rows[0][0]) if rows else 0


def problem(lowest: int, version: str = "") -> str:
    """Return why this version may not write to a store that takes levels from `lowest` on; "" if it may.

    `version` is the one that raised the fence, if it is known.
    """
    if lowest <= LEVEL:
        return ""
    newer = f"fsharechat {version} or a newer one" if version else "a newer one"
    return f"it takes level {lowest} and above, and this version is of level {LEVEL}: run {newer}"


def lowest(dialect: Dialect) -> Unit[int]:
    """Return the lowest level that may write."""
    return level_in((yield Query(QUERY)).rows)


def put_up(dialect: Dialect) -> Unit[int]:
    """Close the store to all levels below this version's. Return the lowest level that may write now."""
    before = level_in((yield Query(QUERY + dialect.locking)).rows)
    if before < LEVEL:
        rows = (NAME, b"%d" % LEVEL, CLOSED_BY, __version__.encode())
        yield Query(dialect.upsert("facts", ("name",), ("value",), 2), rows)
    return max(before, LEVEL)
