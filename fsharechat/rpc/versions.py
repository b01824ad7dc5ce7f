"""The versions of the rpc that this process speaks. The two ends of a connection choose the highest common one.

The roles know only the newest version. Older ones are translated where calls and replies become frames. So a payload
(Call, a body or answer of Method, Welcome, Pulled) is changed in these steps:

1. NEWEST goes up by one, and the roles write and read the new payload.
2. A Codec of the version before, which overrides what has changed, comes into SPOKEN. It writes calls for a callee of
   that version, and reads its replies; and the other way round for a caller of that version.
3. A release later the version before goes again.

A callee of the version before answers a new Method with NOT_IMPLEMENTED. The caller must do without until then.

The handshake itself has no version: it stays as it is.
"""

from collections.abc import Mapping

from fsharechat.rpc import Call, Reply, codec
from fsharechat.versions import Range

NEWEST = 3
"""The version of calls and replies, with all their contents. It changes whenever one of them changes."""


class Codec:
    """Calls and replies in the newest version. The codec of an older version overrides what differs."""

    def encode_call(self, number: int, call: Call, milliseconds: int) -> bytes:
        """Return the frame of a call that is to be answered within the time. Raises CodecError."""
        return codec.encode_call(number, call, milliseconds)

    def decode_call(self, body: bytes) -> tuple[Call, int]:
        """Return a call, and the ms that are left for it. Raises CodecError."""
        return codec.decode_call(body)

    def encode_reply(self, number: int, method: int, reply: Reply) -> bytes:
        """Return the frame of the reply to a call of `method`."""
        return codec.encode_reply(number, reply)

    def decode_reply(self, method: int, body: bytes) -> Reply:
        """Return the reply to a call of `method`. Raises CodecError."""
        return codec.decode_reply(body)


Spoken = Mapping[int, Codec]
"""The codec of each version, without a gap between them."""

SPOKEN: Spoken = {2: Codec(), NEWEST: Codec()}
"""Version 2 lacks Method.GONE. Nothing else differs."""


def range_of(spoken: Spoken) -> Range:
    return Range(min(spoken), max(spoken))
