"""Where calls may be relayed: TURN (docs/calling.md)."""

import base64
import hmac
from hashlib import sha1

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.settings_schema import TurnSettings
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers


async def servers(settings: Settings, clock: ServerClock, call: Call, _: pb.Version) -> pb.TurnResult:
    return credentials(settings.turn, call.uid, clock.now())


def credentials(settings: TurnSettings, uid: str, now: int) -> pb.TurnResult:
    """Return what a user shows to the TURN servers; `now` is in ms.

    With a secret it is good for a while, as coturn's `use-auth-secret` has it: the user name says until when, in
    seconds since the epoch, and the password is its HMAC-SHA1. The servers check it by themselves.
    """
    if not settings.secret:
        return pb.TurnResult(url=settings.urls, username=settings.user, credential=settings.password, ttl=0)
    username = f"{now // 1000 + settings.ttl_seconds}:{uid}"
    password = base64.b64encode(hmac.digest(settings.secret.encode(), username.encode(), sha1)).decode()
    return pb.TurnResult(url=settings.urls, username=username, credential=password, ttl=settings.ttl_seconds)


HANDLERS = Handlers(
    requests={
        SubSignal.TURN: servers,
    },
)
