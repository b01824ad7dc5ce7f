from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Record(_message.Message):
    __slots__ = ("event", "version")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    event: _containers.RepeatedCompositeFieldContainer[Event]
    version: int
    def __init__(self, event: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., version: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("deliver", "push", "notify", "kick", "recalled", "reported", "resync", "push_to", "edited")
    DELIVER_FIELD_NUMBER: _ClassVar[int]
    PUSH_FIELD_NUMBER: _ClassVar[int]
    NOTIFY_FIELD_NUMBER: _ClassVar[int]
    KICK_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    PUSH_TO_FIELD_NUMBER: _ClassVar[int]
    EDITED_FIELD_NUMBER: _ClassVar[int]
    deliver: Deliver
    push: Push
    notify: Notify
    kick: Kick
    recalled: Recalled
    reported: Reported
    resync: Resync
    push_to: PushTo
    edited: Recalled
    def __init__(self, deliver: _Optional[_Union[Deliver, _Mapping]] = ..., push: _Optional[_Union[Push, _Mapping]] = ..., notify: _Optional[_Union[Notify, _Mapping]] = ..., kick: _Optional[_Union[Kick, _Mapping]] = ..., recalled: _Optional[_Union[Recalled, _Mapping]] = ..., reported: _Optional[_Union[Reported, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., push_to: _Optional[_Union[PushTo, _Mapping]] = ..., edited: _Optional[_Union[Recalled, _Mapping]] = ...) -> None: ...

class Entry(_message.Message):
    __slots__ = ("uid", "seq")
    UID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    uid: str
    seq: int
    def __init__(self, uid: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class Deliver(_message.Message):
    __slots__ = ("body", "entries", "sender", "sender_client", "message_id")
    BODY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    SENDER_CLIENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    sender: str
    sender_client: str
    message_id: int
    def __init__(self, body: _Optional[bytes] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., sender: _Optional[str] = ..., sender_client: _Optional[str] = ..., message_id: _Optional[int] = ...) -> None: ...

class Push(_message.Message):
    __slots__ = ("body", "uids")
    BODY_FIELD_NUMBER: _ClassVar[int]
    UIDS_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    uids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, body: _Optional[bytes] = ..., uids: _Optional[_Iterable[str]] = ...) -> None: ...

class PushTo(_message.Message):
    __slots__ = ("body", "sender", "uid", "client_id")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SENDER_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    sender: str
    uid: str
    client_id: str
    def __init__(self, body: _Optional[bytes] = ..., sender: _Optional[str] = ..., uid: _Optional[str] = ..., client_id: _Optional[str] = ...) -> None: ...

class Notify(_message.Message):
    __slots__ = ("sub_signal", "body", "uid", "except_client")
    SUB_SIGNAL_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_CLIENT_FIELD_NUMBER: _ClassVar[int]
    sub_signal: int
    body: bytes
    uid: str
    except_client: str
    def __init__(self, sub_signal: _Optional[int] = ..., body: _Optional[bytes] = ..., uid: _Optional[str] = ..., except_client: _Optional[str] = ...) -> None: ...

class Recalled(_message.Message):
    __slots__ = ("message_id", "body", "entries", "operator", "operator_client")
    MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_CLIENT_FIELD_NUMBER: _ClassVar[int]
    message_id: int
    body: bytes
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    operator: str
    operator_client: str
    def __init__(self, message_id: _Optional[int] = ..., body: _Optional[bytes] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ..., operator: _Optional[str] = ..., operator_client: _Optional[str] = ...) -> None: ...

class Reported(_message.Message):
    __slots__ = ("kind", "entries")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    kind: int
    entries: _containers.RepeatedCompositeFieldContainer[Entry]
    def __init__(self, kind: _Optional[int] = ..., entries: _Optional[_Iterable[_Union[Entry, _Mapping]]] = ...) -> None: ...

class Kick(_message.Message):
    __slots__ = ("uid", "client_id", "epoch")
    UID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    uid: str
    client_id: str
    epoch: int
    def __init__(self, uid: _Optional[str] = ..., client_id: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class Resync(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Presence(_message.Message):
    __slots__ = ("uid", "client_id", "node", "epoch", "version")
    UID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    uid: str
    client_id: str
    node: int
    epoch: int
    version: int
    def __init__(self, uid: _Optional[str] = ..., client_id: _Optional[str] = ..., node: _Optional[int] = ..., epoch: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class Changed(_message.Message):
    __slots__ = ("keys", "version")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    version: int
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ...) -> None: ...
