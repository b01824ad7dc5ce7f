"""The numbers of the wire contract except sub-signals: signals, codes, content types (contract.md sections 1, 5, 6).

Import them from `fsharechat.protocol.signals`. They have a module of their own because the shapes need them, and the
table of requests needs the shapes.

To read a member of an enumeration takes 0.1 us in Python 3.11. So modules on the path of every message read those
that they compare with once, and keep them under names of their own.
"""

from enum import IntEnum


class Signal(IntEnum):
    """The kind of a frame: the third byte of its header (section 1)."""

    NONE = 0
    SUB = 1
    AUTH = 2
    PING = 3
    PUSH = 4
    CONTACT = 5
    CONNECT = 6
    CONNECT_ACK = 7
    DISCONNECT = 8
    PUBLISH = 9
    PUB_ACK = 10


class Code(IntEnum):
    """The first byte of a PUB_ACK body (section 5)."""

    SUCCESS = 0
    INVALID_DATA = 2
    SERVER_ERROR = 4
    NOT_MODIFIED = 5
    TOKEN_ERROR = 6
    USER_FORBIDDEN = 8
    NOT_IN_GROUP = 9
    INVALID_MESSAGE = 10
    GROUP_EXISTS = 11
    ALREADY_REQUESTED = 16
    REQUEST_BLOCKED = 18
    REQUEST_OVERTIME = 19
    NOT_IN_CHATROOM = 20
    NOT_IN_CHANNEL = 21
    SENSITIVE_WORD = 242
    BLACKLISTED = 246
    MUTED = 247
    NO_RIGHT = 248
    TIMEOUT = 249
    TOO_OFTEN = 250
    INVALID_PARAMETER = 251
    NOT_EXIST = 253
    NOT_IMPLEMENTED = 254


class LoginCode(IntEnum):
    """The `code` of the answers of /send_code and /login (section 3)."""

    SUCCESS = 0
    INVALID_NUMBER = 1
    TOO_OFTEN = 3
    SERVER_ERROR = 4
    CODE_EXPIRED = 5
    WRONG_CODE = 6
    MISCONFIGURED = 7
    NO_SESSION = 8


class ConversationType(IntEnum):
    PRIVATE = 0
    GROUP = 1
    CHAT_ROOM = 2
    CHANNEL = 3


class PersistFlag(IntEnum):
    NOT_STORED = 0
    STORED = 1
    STORED_AND_COUNTED = 3
    TRANSPARENT = 4


class ContentType(IntEnum):
    TEXT = 1
    VOICE = 2
    IMAGE = 3
    LOCATION = 4
    FILE = 5
    VIDEO = 6
    STICKER = 7
    RECALLED = 80
    TIP = 90
    TYPING = 91
    GROUP_CREATED = 104
    MEMBERS_ADDED = 105
    MEMBERS_KICKED = 106
    MEMBER_QUIT = 107
    GROUP_DISMISSED = 108
    GROUP_RENAMED = 110
    GROUP_PORTRAIT_CHANGED = 112
    CALL_START = 400
    CALL_ANSWER = 401
    CALL_BYE = 402
    CALL_SIGNAL = 403
    CALL_MODIFY = 404
    CALL_ANSWER_AUDIO = 405


CALL_TYPES = frozenset(range(400, 406))
"""Content types of calls. All but the start are transparent, whatever the flag says (calls.md section 9.1)."""

TRANSPARENT_TYPES = frozenset({91, 401, 402, 403, 404, 405})
"""Content types that are transparent whatever their persist flag says (section 5)."""


SYSTEM_TYPES = frozenset({80, *range(104, 113)})
"""Content types of the server's own messages. A client's message may not have them (section 8)."""


class FriendState(IntEnum):
    FRIEND = 0
    DELETED = 1
    """No longer a friend. A value of this project, for lists of changes."""
    BLACKLISTED = 2


class RequestStatus(IntEnum):
    """The status of a friend request."""

    SENT = 0
    ACCEPTED = 1
    REJECTED = 2


class UserResultCode(IntEnum):
    OK = 0
    NOT_FOUND = 1
    NOT_MODIFIED = 2


class UserStatus(IntEnum):
    NORMAL = 0
    MUTED = 1
    BLOCKED = 2


class UserType(IntEnum):
    PERSON = 0
    ROBOT = 1


class MentionedType(IntEnum):
    """Whom a message in a group mentions: nobody (0), those that it names, or everybody."""

    SOME = 1
    ALL = 2


class InfoType(IntEnum):
    """Which field of a user ModifyMyInfo changes."""

    DISPLAY_NAME = 0
    PORTRAIT = 1
    GENDER = 2
    MOBILE = 3
    EMAIL = 4
    ADDRESS = 5
    COMPANY = 6
    SOCIAL = 7
    EXTRA = 8


class GroupType(IntEnum):
    """The type of a group decides the rights of its members (section 5)."""

    NORMAL = 0
    FREE = 1
    RESTRICTED = 2


class MemberType(IntEnum):
    NORMAL = 0
    MANAGER = 1
    OWNER = 2
    SILENCED = 3
    REMOVED = 4


class GroupInfoType(IntEnum):
    """Which field of a group ModifyGroupInfo changes."""

    NAME = 0
    PORTRAIT = 1
    EXTRA = 2


class MediaType(IntEnum):
    """Which bucket a file goes to (section 8)."""

    GENERAL = 0
    IMAGE = 1
    VOICE = 2
    VIDEO = 3
    FILE = 4
    PORTRAIT = 5
    FAVORITE = 6


class ReportType(IntEnum):
    DELIVERED = 1
    READ = 2


class SettingScope(IntEnum):
    """The subject of a user's setting (section 8)."""

    CONVERSATION_MUTED = 1
    ALL_MUTED = 2
    CONVERSATION_ON_TOP = 3
    GROUP_SAVED = 6
