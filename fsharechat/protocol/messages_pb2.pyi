from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConnectAckPayload(_message.Message):
    __slots__ = ("msg_head", "friend_head", "friend_rq_head", "setting_head", "node_addr", "node_port", "server_time")
    MSG_HEAD_FIELD_NUMBER: _ClassVar[int]
    FRIEND_HEAD_FIELD_NUMBER: _ClassVar[int]
    FRIEND_RQ_HEAD_FIELD_NUMBER: _ClassVar[int]
    SETTING_HEAD_FIELD_NUMBER: _ClassVar[int]
    NODE_ADDR_FIELD_NUMBER: _ClassVar[int]
    NODE_PORT_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_FIELD_NUMBER: _ClassVar[int]
    msg_head: int
    friend_head: int
    friend_rq_head: int
    setting_head: int
    node_addr: str
    node_port: int
    server_time: int
    def __init__(self, msg_head: _Optional[int] = ..., friend_head: _Optional[int] = ..., friend_rq_head: _Optional[int] = ..., setting_head: _Optional[int] = ..., node_addr: _Optional[str] = ..., node_port: _Optional[int] = ..., server_time: _Optional[int] = ...) -> None: ...

class Conversation(_message.Message):
    __slots__ = ("type", "target", "line")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    type: int
    target: str
    line: int
    def __init__(self, type: _Optional[int] = ..., target: _Optional[str] = ..., line: _Optional[int] = ...) -> None: ...

class MessageContent(_message.Message):
    __slots__ = ("type", "searchable_content", "push_content", "content", "data", "media_type", "remote_media_url", "persist_flag", "expire_duration", "mentioned_type", "mentioned_target")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SEARCHABLE_CONTENT_FIELD_NUMBER: _ClassVar[int]
    PUSH_CONTENT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_MEDIA_URL_FIELD_NUMBER: _ClassVar[int]
    PERSIST_FLAG_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_DURATION_FIELD_NUMBER: _ClassVar[int]
    MENTIONED_TYPE_FIELD_NUMBER: _ClassVar[int]
    MENTIONED_TARGET_FIELD_NUMBER: _ClassVar[int]
    type: int
    searchable_content: str
    push_content: str
    content: str
    data: bytes
    media_type: int
    remote_media_url: str
    persist_flag: int
    expire_duration: int
    mentioned_type: int
    mentioned_target: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[int] = ..., searchable_content: _Optional[str] = ..., push_content: _Optional[str] = ..., content: _Optional[str] = ..., data: _Optional[bytes] = ..., media_type: _Optional[int] = ..., remote_media_url: _Optional[str] = ..., persist_flag: _Optional[int] = ..., expire_duration: _Optional[int] = ..., mentioned_type: _Optional[int] = ..., mentioned_target: _Optional[_Iterable[str]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("conversation", "from_user", "content", "message_id", "server_timestamp", "to_user", "to", "local_message_id", "edited_dt")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    TO_USER_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    LOCAL_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    EDITED_DT_FIELD_NUMBER: _ClassVar[int]
    conversation: Conversation
    from_user: str
    content: MessageContent
    message_id: int
    server_timestamp: int
    to_user: str
    to: _containers.RepeatedScalarFieldContainer[str]
    local_message_id: int
    edited_dt: int
    def __init__(self, conversation: _Optional[_Union[Conversation, _Mapping]] = ..., from_user: _Optional[str] = ..., content: _Optional[_Union[MessageContent, _Mapping]] = ..., message_id: _Optional[int] = ..., server_timestamp: _Optional[int] = ..., to_user: _Optional[str] = ..., to: _Optional[_Iterable[str]] = ..., local_message_id: _Optional[int] = ..., edited_dt: _Optional[int] = ...) -> None: ...

class PullMessageRequest(_message.Message):
    __slots__ = ("id", "type", "delay")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DELAY_FIELD_NUMBER: _ClassVar[int]
    id: int
    type: int
    delay: int
    def __init__(self, id: _Optional[int] = ..., type: _Optional[int] = ..., delay: _Optional[int] = ...) -> None: ...

class PullMessageResult(_message.Message):
    __slots__ = ("message", "current", "head")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    message: _containers.RepeatedCompositeFieldContainer[Message]
    current: int
    head: int
    def __init__(self, message: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., current: _Optional[int] = ..., head: _Optional[int] = ...) -> None: ...

class NotifyMessage(_message.Message):
    __slots__ = ("type", "head", "target")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    type: int
    head: int
    target: str
    def __init__(self, type: _Optional[int] = ..., head: _Optional[int] = ..., target: _Optional[str] = ...) -> None: ...

class NotifyRecallMessage(_message.Message):
    __slots__ = ("id", "from_user")
    ID_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_FIELD_NUMBER: _ClassVar[int]
    id: int
    from_user: str
    def __init__(self, id: _Optional[int] = ..., from_user: _Optional[str] = ...) -> None: ...

class LoadRemoteMessages(_message.Message):
    __slots__ = ("conversation", "before_uid", "count")
    CONVERSATION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_UID_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    conversation: Conversation
    before_uid: int
    count: int
    def __init__(self, conversation: _Optional[_Union[Conversation, _Mapping]] = ..., before_uid: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class INT64Buf(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class Version(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class UserRequest(_message.Message):
    __slots__ = ("uid", "update_dt")
    UID_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    uid: str
    update_dt: int
    def __init__(self, uid: _Optional[str] = ..., update_dt: _Optional[int] = ...) -> None: ...

class PullUserRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: _containers.RepeatedCompositeFieldContainer[UserRequest]
    def __init__(self, request: _Optional[_Iterable[_Union[UserRequest, _Mapping]]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("uid", "name", "display_name", "portrait", "mobile", "email", "address", "company", "extra", "update_dt", "gender", "social", "type")
    UID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    MOBILE_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    COMPANY_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    GENDER_FIELD_NUMBER: _ClassVar[int]
    SOCIAL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    uid: str
    name: str
    display_name: str
    portrait: str
    mobile: str
    email: str
    address: str
    company: str
    extra: str
    update_dt: int
    gender: int
    social: str
    type: int
    def __init__(self, uid: _Optional[str] = ..., name: _Optional[str] = ..., display_name: _Optional[str] = ..., portrait: _Optional[str] = ..., mobile: _Optional[str] = ..., email: _Optional[str] = ..., address: _Optional[str] = ..., company: _Optional[str] = ..., extra: _Optional[str] = ..., update_dt: _Optional[int] = ..., gender: _Optional[int] = ..., social: _Optional[str] = ..., type: _Optional[int] = ...) -> None: ...

class UserResult(_message.Message):
    __slots__ = ("user", "code")
    USER_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    user: User
    code: int
    def __init__(self, user: _Optional[_Union[User, _Mapping]] = ..., code: _Optional[int] = ...) -> None: ...

class PullUserResult(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _containers.RepeatedCompositeFieldContainer[UserResult]
    def __init__(self, result: _Optional[_Iterable[_Union[UserResult, _Mapping]]] = ...) -> None: ...

class SearchUserRequest(_message.Message):
    __slots__ = ("keyword", "fuzzy", "page")
    KEYWORD_FIELD_NUMBER: _ClassVar[int]
    FUZZY_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    keyword: str
    fuzzy: int
    page: int
    def __init__(self, keyword: _Optional[str] = ..., fuzzy: _Optional[int] = ..., page: _Optional[int] = ...) -> None: ...

class SearchUserResult(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[User]
    def __init__(self, entry: _Optional[_Iterable[_Union[User, _Mapping]]] = ...) -> None: ...

class InfoEntry(_message.Message):
    __slots__ = ("type", "value")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    type: int
    value: str
    def __init__(self, type: _Optional[int] = ..., value: _Optional[str] = ...) -> None: ...

class ModifyMyInfoRequest(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[InfoEntry]
    def __init__(self, entry: _Optional[_Iterable[_Union[InfoEntry, _Mapping]]] = ...) -> None: ...

class AddFriendRequest(_message.Message):
    __slots__ = ("target_uid", "reason")
    TARGET_UID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    target_uid: str
    reason: str
    def __init__(self, target_uid: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class HandleFriendRequest(_message.Message):
    __slots__ = ("target_uid", "status")
    TARGET_UID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    target_uid: str
    status: int
    def __init__(self, target_uid: _Optional[str] = ..., status: _Optional[int] = ...) -> None: ...

class DeleteFriendRequest(_message.Message):
    __slots__ = ("target_uid",)
    TARGET_UID_FIELD_NUMBER: _ClassVar[int]
    target_uid: str
    def __init__(self, target_uid: _Optional[str] = ...) -> None: ...

class BlacklistUserRequest(_message.Message):
    __slots__ = ("target_uid", "status")
    TARGET_UID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    target_uid: str
    status: int
    def __init__(self, target_uid: _Optional[str] = ..., status: _Optional[int] = ...) -> None: ...

class StreamAnswerRequest(_message.Message):
    __slots__ = ("target_uid", "stream_id", "delta", "done")
    TARGET_UID_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    target_uid: str
    stream_id: str
    delta: str
    done: int
    def __init__(self, target_uid: _Optional[str] = ..., stream_id: _Optional[str] = ..., delta: _Optional[str] = ..., done: _Optional[int] = ...) -> None: ...

class Friend(_message.Message):
    __slots__ = ("uid", "state", "update_dt", "alias")
    UID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    uid: str
    state: int
    update_dt: int
    alias: str
    def __init__(self, uid: _Optional[str] = ..., state: _Optional[int] = ..., update_dt: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class GetFriendsResult(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[Friend]
    def __init__(self, entry: _Optional[_Iterable[_Union[Friend, _Mapping]]] = ...) -> None: ...

class FriendRequest(_message.Message):
    __slots__ = ("from_uid", "to_uid", "reason", "status", "update_dt", "from_read_status", "to_read_status")
    FROM_UID_FIELD_NUMBER: _ClassVar[int]
    TO_UID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    FROM_READ_STATUS_FIELD_NUMBER: _ClassVar[int]
    TO_READ_STATUS_FIELD_NUMBER: _ClassVar[int]
    from_uid: str
    to_uid: str
    reason: str
    status: int
    update_dt: int
    from_read_status: bool
    to_read_status: bool
    def __init__(self, from_uid: _Optional[str] = ..., to_uid: _Optional[str] = ..., reason: _Optional[str] = ..., status: _Optional[int] = ..., update_dt: _Optional[int] = ..., from_read_status: _Optional[bool] = ..., to_read_status: _Optional[bool] = ...) -> None: ...

class GetFriendRequestResult(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[FriendRequest]
    def __init__(self, entry: _Optional[_Iterable[_Union[FriendRequest, _Mapping]]] = ...) -> None: ...

class GroupInfo(_message.Message):
    __slots__ = ("target_id", "name", "portrait", "owner", "type", "member_count", "extra", "update_dt", "member_update_dt")
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PORTRAIT_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    MEMBER_UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    target_id: str
    name: str
    portrait: str
    owner: str
    type: int
    member_count: int
    extra: str
    update_dt: int
    member_update_dt: int
    def __init__(self, target_id: _Optional[str] = ..., name: _Optional[str] = ..., portrait: _Optional[str] = ..., owner: _Optional[str] = ..., type: _Optional[int] = ..., member_count: _Optional[int] = ..., extra: _Optional[str] = ..., update_dt: _Optional[int] = ..., member_update_dt: _Optional[int] = ...) -> None: ...

class GroupMember(_message.Message):
    __slots__ = ("member_id", "alias", "type", "update_dt", "silenced_until")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    SILENCED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    member_id: str
    alias: str
    type: int
    update_dt: int
    silenced_until: int
    def __init__(self, member_id: _Optional[str] = ..., alias: _Optional[str] = ..., type: _Optional[int] = ..., update_dt: _Optional[int] = ..., silenced_until: _Optional[int] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("group_info", "members")
    GROUP_INFO_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    group_info: GroupInfo
    members: _containers.RepeatedCompositeFieldContainer[GroupMember]
    def __init__(self, group_info: _Optional[_Union[GroupInfo, _Mapping]] = ..., members: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ...) -> None: ...

class CreateGroupRequest(_message.Message):
    __slots__ = ("group", "to_line", "notify_content")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group: Group
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group: _Optional[_Union[Group, _Mapping]] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class AddGroupMemberRequest(_message.Message):
    __slots__ = ("group_id", "added_member", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ADDED_MEMBER_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    added_member: _containers.RepeatedCompositeFieldContainer[GroupMember]
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., added_member: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class RemoveGroupMemberRequest(_message.Message):
    __slots__ = ("group_id", "removed_member", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    REMOVED_MEMBER_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    removed_member: _containers.RepeatedScalarFieldContainer[str]
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., removed_member: _Optional[_Iterable[str]] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class QuitGroupRequest(_message.Message):
    __slots__ = ("group_id", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class DismissGroupRequest(_message.Message):
    __slots__ = ("group_id", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class ModifyGroupInfoRequest(_message.Message):
    __slots__ = ("group_id", "type", "value", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    type: int
    value: str
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., type: _Optional[int] = ..., value: _Optional[str] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class PullGroupMemberRequest(_message.Message):
    __slots__ = ("target", "head")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    target: str
    head: int
    def __init__(self, target: _Optional[str] = ..., head: _Optional[int] = ...) -> None: ...

class PullGroupInfoResult(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: _containers.RepeatedCompositeFieldContainer[GroupInfo]
    def __init__(self, info: _Optional[_Iterable[_Union[GroupInfo, _Mapping]]] = ...) -> None: ...

class PullGroupMemberResult(_message.Message):
    __slots__ = ("member",)
    MEMBER_FIELD_NUMBER: _ClassVar[int]
    member: _containers.RepeatedCompositeFieldContainer[GroupMember]
    def __init__(self, member: _Optional[_Iterable[_Union[GroupMember, _Mapping]]] = ...) -> None: ...

class GetMinioUploadUrlRequest(_message.Message):
    __slots__ = ("type", "key", "size")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    type: int
    key: str
    size: int
    def __init__(self, type: _Optional[int] = ..., key: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class GetMinioUploadUrlResult(_message.Message):
    __slots__ = ("domain", "server", "port", "url", "offset", "length")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SERVER_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    domain: str
    server: str
    port: int
    url: str
    offset: int
    length: int
    def __init__(self, domain: _Optional[str] = ..., server: _Optional[str] = ..., port: _Optional[int] = ..., url: _Optional[str] = ..., offset: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...

class DeliveryReport(_message.Message):
    __slots__ = ("date", "target", "uid", "rid")
    DATE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    RID_FIELD_NUMBER: _ClassVar[int]
    date: int
    target: str
    uid: str
    rid: int
    def __init__(self, date: _Optional[int] = ..., target: _Optional[str] = ..., uid: _Optional[str] = ..., rid: _Optional[int] = ...) -> None: ...

class ReadReport(_message.Message):
    __slots__ = ("type", "line", "target", "date", "uid", "rid", "tos")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    RID_FIELD_NUMBER: _ClassVar[int]
    TOS_FIELD_NUMBER: _ClassVar[int]
    type: int
    line: int
    target: str
    date: int
    uid: str
    rid: int
    tos: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, type: _Optional[int] = ..., line: _Optional[int] = ..., target: _Optional[str] = ..., date: _Optional[int] = ..., uid: _Optional[str] = ..., rid: _Optional[int] = ..., tos: _Optional[_Iterable[str]] = ...) -> None: ...

class NotifyMessageReport(_message.Message):
    __slots__ = ("type", "head")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    type: int
    head: int
    def __init__(self, type: _Optional[int] = ..., head: _Optional[int] = ...) -> None: ...

class PullMessageReportRequest(_message.Message):
    __slots__ = ("id", "type")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    id: int
    type: int
    def __init__(self, id: _Optional[int] = ..., type: _Optional[int] = ...) -> None: ...

class MessageReport(_message.Message):
    __slots__ = ("report_type", "uid", "date", "target")
    REPORT_TYPE_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    report_type: int
    uid: str
    date: int
    target: str
    def __init__(self, report_type: _Optional[int] = ..., uid: _Optional[str] = ..., date: _Optional[int] = ..., target: _Optional[str] = ...) -> None: ...

class PullMessageReportResult(_message.Message):
    __slots__ = ("report", "current", "head")
    REPORT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    report: _containers.RepeatedCompositeFieldContainer[MessageReport]
    current: int
    head: int
    def __init__(self, report: _Optional[_Iterable[_Union[MessageReport, _Mapping]]] = ..., current: _Optional[int] = ..., head: _Optional[int] = ...) -> None: ...

class UserSettingEntry(_message.Message):
    __slots__ = ("scope", "key", "value", "update_dt")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    scope: int
    key: str
    value: str
    update_dt: int
    def __init__(self, scope: _Optional[int] = ..., key: _Optional[str] = ..., value: _Optional[str] = ..., update_dt: _Optional[int] = ...) -> None: ...

class GetUserSettingResult(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[UserSettingEntry]
    def __init__(self, entry: _Optional[_Iterable[_Union[UserSettingEntry, _Mapping]]] = ...) -> None: ...

class ModifyUserSettingReq(_message.Message):
    __slots__ = ("scope", "key", "value")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    scope: int
    key: str
    value: str
    def __init__(self, scope: _Optional[int] = ..., key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class TurnResult(_message.Message):
    __slots__ = ("url", "username", "credential", "ttl")
    URL_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    CREDENTIAL_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    url: _containers.RepeatedScalarFieldContainer[str]
    username: str
    credential: str
    ttl: int
    def __init__(self, url: _Optional[_Iterable[str]] = ..., username: _Optional[str] = ..., credential: _Optional[str] = ..., ttl: _Optional[int] = ...) -> None: ...

class MyGroupsRequest(_message.Message):
    __slots__ = ("version", "after")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    version: int
    after: str
    def __init__(self, version: _Optional[int] = ..., after: _Optional[str] = ...) -> None: ...

class MyGroup(_message.Message):
    __slots__ = ("group_info", "type", "alias")
    GROUP_INFO_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    group_info: GroupInfo
    type: int
    alias: str
    def __init__(self, group_info: _Optional[_Union[GroupInfo, _Mapping]] = ..., type: _Optional[int] = ..., alias: _Optional[str] = ...) -> None: ...

class MyGroupsResult(_message.Message):
    __slots__ = ("group", "version", "next")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    group: _containers.RepeatedCompositeFieldContainer[MyGroup]
    version: int
    next: str
    def __init__(self, group: _Optional[_Iterable[_Union[MyGroup, _Mapping]]] = ..., version: _Optional[int] = ..., next: _Optional[str] = ...) -> None: ...

class ModifyGroupAliasRequest(_message.Message):
    __slots__ = ("group_id", "alias", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    alias: str
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., alias: _Optional[str] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class TransferGroupRequest(_message.Message):
    __slots__ = ("group_id", "new_owner", "to_line", "notify_content")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_OWNER_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    new_owner: str
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    def __init__(self, group_id: _Optional[str] = ..., new_owner: _Optional[str] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class SetMemberTypeRequest(_message.Message):
    __slots__ = ("group_id", "type", "member_id", "to_line", "notify_content", "until")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    TO_LINE_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_CONTENT_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    type: int
    member_id: _containers.RepeatedScalarFieldContainer[str]
    to_line: _containers.RepeatedScalarFieldContainer[int]
    notify_content: MessageContent
    until: int
    def __init__(self, group_id: _Optional[str] = ..., type: _Optional[int] = ..., member_id: _Optional[_Iterable[str]] = ..., to_line: _Optional[_Iterable[int]] = ..., notify_content: _Optional[_Union[MessageContent, _Mapping]] = ..., until: _Optional[int] = ...) -> None: ...

class UserDevice(_message.Message):
    __slots__ = ("client_id", "kind", "name", "login_dt", "seen_dt", "online", "current")
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LOGIN_DT_FIELD_NUMBER: _ClassVar[int]
    SEEN_DT_FIELD_NUMBER: _ClassVar[int]
    ONLINE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    kind: str
    name: str
    login_dt: int
    seen_dt: int
    online: int
    current: int
    def __init__(self, client_id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., login_dt: _Optional[int] = ..., seen_dt: _Optional[int] = ..., online: _Optional[int] = ..., current: _Optional[int] = ...) -> None: ...

class UserDevicesResult(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: _containers.RepeatedCompositeFieldContainer[UserDevice]
    def __init__(self, device: _Optional[_Iterable[_Union[UserDevice, _Mapping]]] = ...) -> None: ...

class EndDeviceRequest(_message.Message):
    __slots__ = ("client_id",)
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    client_id: str
    def __init__(self, client_id: _Optional[str] = ...) -> None: ...

class EditMessageRequest(_message.Message):
    __slots__ = ("id", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: int
    content: MessageContent
    def __init__(self, id: _Optional[int] = ..., content: _Optional[_Union[MessageContent, _Mapping]] = ...) -> None: ...

class NotifyEditedMessage(_message.Message):
    __slots__ = ("id", "from_user")
    ID_FIELD_NUMBER: _ClassVar[int]
    FROM_USER_FIELD_NUMBER: _ClassVar[int]
    id: int
    from_user: str
    def __init__(self, id: _Optional[int] = ..., from_user: _Optional[str] = ...) -> None: ...

class MessageIds(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id: _Optional[_Iterable[int]] = ...) -> None: ...

class ReactRequest(_message.Message):
    __slots__ = ("id", "emoji")
    ID_FIELD_NUMBER: _ClassVar[int]
    EMOJI_FIELD_NUMBER: _ClassVar[int]
    id: int
    emoji: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[int] = ..., emoji: _Optional[_Iterable[str]] = ...) -> None: ...

class Reactions(_message.Message):
    __slots__ = ("id", "uid", "emoji", "update_dt")
    ID_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    EMOJI_FIELD_NUMBER: _ClassVar[int]
    UPDATE_DT_FIELD_NUMBER: _ClassVar[int]
    id: int
    uid: str
    emoji: _containers.RepeatedScalarFieldContainer[str]
    update_dt: int
    def __init__(self, id: _Optional[int] = ..., uid: _Optional[str] = ..., emoji: _Optional[_Iterable[str]] = ..., update_dt: _Optional[int] = ...) -> None: ...

class ReactionsResult(_message.Message):
    __slots__ = ("entry",)
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    entry: _containers.RepeatedCompositeFieldContainer[Reactions]
    def __init__(self, entry: _Optional[_Iterable[_Union[Reactions, _Mapping]]] = ...) -> None: ...

class GroupReadersRequest(_message.Message):
    __slots__ = ("group_id", "line")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    line: int
    def __init__(self, group_id: _Optional[str] = ..., line: _Optional[int] = ...) -> None: ...

class GroupReader(_message.Message):
    __slots__ = ("uid", "date")
    UID_FIELD_NUMBER: _ClassVar[int]
    DATE_FIELD_NUMBER: _ClassVar[int]
    uid: str
    date: int
    def __init__(self, uid: _Optional[str] = ..., date: _Optional[int] = ...) -> None: ...

class GroupReadersResult(_message.Message):
    __slots__ = ("reader",)
    READER_FIELD_NUMBER: _ClassVar[int]
    reader: _containers.RepeatedCompositeFieldContainer[GroupReader]
    def __init__(self, reader: _Optional[_Iterable[_Union[GroupReader, _Mapping]]] = ...) -> None: ...

class ReportAbuseRequest(_message.Message):
    __slots__ = ("uid", "id", "reason")
    UID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    uid: str
    id: int
    reason: str
    def __init__(self, uid: _Optional[str] = ..., id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...
