"""The JSON shapes of WebSocket clients (contract.md sections 2, 4 and 7); no other module knows them.

The rest of the server speaks frames with protobuf bodies, as TCP clients do. `decode_request` turns a
client's text into such a frame, the `encode_` functions turn what a TCP client would be sent into the text
for a WebSocket client.
"""

from fsharechat.protocol.json.messages import encode_message, encode_pull
from fsharechat.protocol.json.notifications import encode_notification
from fsharechat.protocol.json.overlong import decode_overlong
from fsharechat.protocol.json.reading import JsonError
from fsharechat.protocol.json.replies import encode_connect_ack, encode_ping, encode_reply
from fsharechat.protocol.json.requests import decode_request

HEARTBEAT = "心跳内容"
"""What web clients send about every 25 s (section 2). It is not JSON: compare with it before decoding."""

__all__ = [
    "HEARTBEAT",
    "JsonError",
    "decode_overlong",
    "decode_request",
    "encode_connect_ack",
    "encode_message",
    "encode_notification",
    "encode_ping",
    "encode_pull",
    "encode_reply",
]
