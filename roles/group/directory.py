"""The rules by which users see the mobile numbers and e-mail addresses of others: `[users] directory`."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.store import users
from fsharechat.store.unit import Row

_NUMBERS = ("name", "mobile", "email")
"""The fields with numbers and addresses. `name` is the one used to log in."""


class Viewer(NamedTuple):
    """A user who looks at profiles.

    `friend_since`: the users who have the viewer as a friend, by uid, and since when (ms).
    """

    uid: str
    friend_since: Mapping[str, int]
    directory: Literal["open", "exact", "friends"]

    def profile(self, row: Row, typed: str = "") -> pb.User:
        """Return the User of a row of PROFILE columns as the viewer sees it: every field is set.

        `typed`: the keyword that found it. A new friend sees more: that counts as a new version of the profile.
        """
        user = pb.User(**dict(zip(users.PROFILE, row, strict=True)))
        if self.directory == "open" or user.uid == self.uid:
            return user
        since = self.friend_since.get(user.uid)
        if since is not None:
            user.update_dt = max(user.update_dt, since)
            return user
        for field in _NUMBERS:
            number: str = getattr(user, field)
            known = self.directory == "exact" and number.lower() == typed.lower()
            if not known and number != user.uid:  # the system's own users have no number
                setattr(user, field, "")
        return user

    def may_find(self, row: Row, typed: str) -> bool:
        """Return whether `typed` may find a user. A number or an address that only friends may see may not."""
        user = dict(zip(users.PROFILE, row, strict=True))
        by_number = typed.lower() == user["name"].lower() and typed != user["display_name"]
        known = user["uid"] == self.uid or user["uid"] in self.friend_since
        return self.directory != "friends" or known or not by_number
