"""JSON schemas of everything that web clients get (contract.md sections 2, 4 and 7).

No string may be null, 64-bit ids are strings of digits, times in ms are numbers that JavaScript keeps exactly, and an
object has the keys of its row and no others.
"""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from tools.wire.contract import SIGNALS, SUB_SIGNALS

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,18})$"}
INTEGER: Schema = {"type": "integer", "minimum": -(1 << 31), "maximum": (1 << 31) - 1}
MS: Schema = {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1}
FLAG: Schema = {"enum": [0, 1]}
BASE64: Schema = {
    "type": "string",
    "pattern": "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
}


class ShapeError(ValueError):
    """The text does not match its schema."""


def exact(**properties: Schema) -> Schema:
    """Return the schema of an object with just these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def with_optional(schema: Schema, **properties: Schema) -> Schema:
    """Return the schema of an object that may have these keys besides."""
    return {**schema, "properties": {**schema["properties"], **properties}}


def array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


FRAME = exact(
    signal={"enum": sorted(SIGNALS)},
    subSignal={"enum": sorted(SUB_SIGNALS)},
    messageId={"type": "integer"},
    content=TEXT,
)

OK = exact(code={"const": 200}, message={"const": "success"}, result={"type": "null"})
FAILED = exact(code={"const": 400}, message={"const": "error"}, result={"type": "null"})

_MESSAGE = exact(
    conversationType=INTEGER,
    target=TEXT,
    line=INTEGER,
    **{"from": TEXT},
    tos=array(TEXT),
    messageId=ID,
    localMessageId=ID,
    direction=FLAG,
    status=INTEGER,
    timestamp=MS,
    content=exact(
        type=INTEGER,
        searchableContent=TEXT,
        pushContent=TEXT,
        content=TEXT,
        binaryContent=BASE64,
        localContent=TEXT,
        mediaType=INTEGER,
        remoteMediaUrl=TEXT,
        localMediaPath=TEXT,
        mentionedType=INTEGER,
        mentionedTargets=array(TEXT),
    ),
)
MESSAGE: Schema = {**_MESSAGE, "properties": {**_MESSAGE["properties"], "editedDt": MS}}
"""A message that was edited has one more key."""
PULL = exact(current=ID, head=ID, messageCount=INTEGER, count=INTEGER, messageResponseList=array(MESSAGE))
USER = exact(
    **dict.fromkeys(
        (
            *("uid", "name", "displayName", "portrait", "mobile", "email", "address", "company", "social"),
            *("extra", "friendAlias", "groupAlias"),
        ),
        TEXT,
    ),
    gender=INTEGER,
    updateDt=MS,
    type=INTEGER,
)
FRIEND_REQUEST = exact(
    direction=FLAG,
    **{"from": TEXT},
    target=TEXT,
    reason=TEXT,
    status=INTEGER,
    readStatus=FLAG,
    timestamp=MS,
)
FRIEND = exact(friendUid=TEXT, alias=TEXT, state=INTEGER, timestamp=MS)
GROUP = exact(
    target=TEXT,
    name=TEXT,
    portrait=TEXT,
    owner=TEXT,
    type=INTEGER,
    memberCount=INTEGER,
    extra=TEXT,
    updateDt=MS,
)
MEMBER = exact(groupId=TEXT, memberId=TEXT, alias=TEXT, type=INTEGER, updateDt=MS, silencedUntil=MS)
REPORTS = exact(
    current=ID,
    head=ID,
    messageCount=INTEGER,
    messageReportList=array(exact(reportType=INTEGER, uid=TEXT, date=MS, target=TEXT)),
)
SETTING = exact(scope=INTEGER, key=TEXT, value=TEXT, updateDt=MS)

REACTIONS = exact(messageUid=ID, uid=TEXT, emoji=array(TEXT), updateDt=MS)

CONNECTED = exact(messageHead=ID, friendHead=MS)

TYPED: dict[str, Schema] = {
    "MS": exact(messageId=ID, timestamp=MS),
    "MP": PULL,
    "LRM": PULL,
    "US": array(USER),
    "UPUI": array(USER),
    "FRP": array(FRIEND_REQUEST),
    "FP": array(FRIEND),
    "GPGI": array(GROUP),
    "GPGM": array(MEMBER),
    "GMURL": with_optional(
        exact(domain=TEXT, url=TEXT, server=TEXT, port=INTEGER), offset=INTEGER, length=INTEGER
    ),
    "MRP": REPORTS,
    "UG": array(SETTING),
    "UP": exact(version=ID),
    "TURN": exact(
        urls={"type": "array", "items": TEXT}, username=TEXT, credential=TEXT, ttl={"type": "integer"}
    ),
    "GRL": array(exact(uid=TEXT, date=MS)),
    "MGI": PULL,
    "REL": array(REACTIONS),
    "UDL": array(
        exact(clientId=TEXT, kind=TEXT, name=TEXT, loginDt=MS, seenDt=MS, online=FLAG, current=FLAG)
    ),
    "GML": exact(version=ID, next=TEXT, groups=array(exact(groupInfo=GROUP, type=INTEGER, alias=TEXT))),
}
"""The answers to requests with a typed payload; "" if they fail."""

PLAIN = (
    "MR",
    "MMI",
    "FAR",
    "FRUS",
    "FHR",
    "FALS",
    "GC",
    "GAM",
    "GKM",
    "GQ",
    "GD",
    "GMI",
    "MDR",
    "MRR",
    "FDL",
    "BLU",
    "GMA",
    "GTG",
    "GSM",
    "UDK",
    "ME",
    "REA",
    "RPA",
    "SRA",
)
"""The requests that are answered by OK or FAILED."""

NOTIFICATIONS: dict[str, Schema] = {
    "MN": exact(messageHead=ID, type={"const": 0}),
    "RMN": exact(fromUser=TEXT, messageUid=ID),
    "MEN": exact(fromUser=TEXT, messageUid=ID),
    "REN": REACTIONS,
    "FRN": exact(version=ID),
    "FN": exact(head=ID),
    "MRN": exact(messageHead=ID, type={"enum": [1, 2]}),
    "UN": exact(version=ID),
    "SAI": exact(i={"type": ["string", "integer"]}, d=TEXT, f={"type": ["boolean", "integer"]}, t=TEXT),
}

LOGIN = exact(
    code={"type": "integer", "minimum": 0, "maximum": 10},
    message=TEXT,
    result={"anyOf": [{"type": "null"}, exact(userId=TEXT, token=TEXT, register={"type": "boolean"})]},
)


def parse(text: str, schema: Schema, what: str) -> Any:
    """Return the JSON of a text that matches its schema. Raises ShapeError."""
    try:
        value = json.loads(text, object_pairs_hook=_without_twins, parse_constant=_no_constant)
    except ValueError as error:
        raise ShapeError(f"{what}: {error}: {text[:200]!r}") from None
    check(value, schema, what)
    return value


def check(value: Any, schema: Schema, what: str) -> None:
    """Raise ShapeError unless a value matches the schema."""
    for error in Draft202012Validator(schema).iter_errors(value):
        place = "".join(f"[{step!r}]" for step in error.absolute_path)
        raise ShapeError(f"{what}{place}: {error.message[:300]}")


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
