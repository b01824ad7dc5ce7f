"""Every row of the suite, in the contract's order."""

import re

from tools.conformance import (
    rows_calls,
    rows_connection,
    rows_devices,
    rows_edits,
    rows_friends,
    rows_group_rights,
    rows_group_roles,
    rows_groups,
    rows_http,
    rows_inbox,
    rows_login,
    rows_messages,
    rows_recall,
    rows_reports,
    rows_robots,
    rows_settings,
    rows_users,
)
from tools.conformance.rows import ROWS, Row

PARTS = (
    *(rows_connection, rows_devices, rows_login, rows_inbox, rows_messages, rows_users, rows_friends),
    *(rows_groups, rows_group_rights, rows_group_roles, rows_recall, rows_edits),
    *(rows_reports, rows_settings, rows_http, rows_calls, rows_robots),
)
"""The modules whose rows these are."""


def all_rows() -> list[Row]:
    """Return the rows by section."""
    return sorted(ROWS, key=lambda row: int(re.sub(r"\D", "", row.section)))
