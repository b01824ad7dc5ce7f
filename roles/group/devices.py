"""A user's own devices: UDL and UDK (contract.md section 8)."""

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.protocol.sizes import DEVICE, fitting, sent_size
from fsharechat.rpc import Call
from fsharechat.settings import Settings
from fsharechat.store import sessions
from fsharechat.store.sessions import KnownDevice
from fsharechat.store.store import Store
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.handlers import Handlers
from roles.group.presence import PresenceTable

MAX_DEVICES = 1000
"""How many devices are listed."""

_KINDS = (
    ("Electron/", "desktop"),
    ("Mozilla/", "web"),
    ("okhttp/", "android"),
    ("Dalvik/", "android"),
    ("Darwin/", "ios"),
)
"""The kind of a device by what its User-Agent has. The first that fits counts."""

_BROWSERS = (("Edg", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


def kind_of(agent: str) -> str:
    """Return the kind of a device by the User-Agent of its login, "" if there was none."""
    return _first(_KINDS, agent) or ("program" if agent else "")


def name_of(device: KnownDevice) -> str:
    """Return the name that a device gave itself, else its browser and system, "" if they are unknown."""
    known = (_first(_BROWSERS, device.agent), _first(_SYSTEMS, device.agent))
    return device.name or ", ".join(filter(None, known))


def _first(names: tuple[tuple[str, str], ...], agent: str) -> str:
    return next((name for part, name in names if part in agent), "")


async def devices(
    settings: Settings,
    store: Store,
    clock: ServerClock,
    presence: PresenceTable,
    call: Call,
    _: pb.Version,
) -> pb.UserDevicesResult:
    now = clock.now()
    oldest = settings.sessions.oldest(now)
    found = await store.read_for(call.uid, sessions.of_user, call.uid, MAX_DEVICES, oldest)
    online = presence.devices(call.uid)
    made = (_device(device, call.client_id, device.client_id in online, now) for device in found)
    sized = ((one, DEVICE + sent_size(one.client_id, one.name, one.kind)) for one in made)
    return pb.UserDevicesResult(device=fitting(sized))


def _device(device: KnownDevice, mine: str, online: bool, now: int) -> pb.UserDevice:
    current = device.client_id == mine
    here = online or current
    return pb.UserDevice(
        client_id=device.client_id,
        kind=kind_of(device.agent),
        name=name_of(device),
        login_dt=device.issued_ms,
        seen_dt=now if here else max(device.seen_ms, device.issued_ms),
        online=int(here),
        current=int(current),
    )


async def end(store: Store, expulsion: Expulsion, call: Call, request: pb.EndDeviceRequest) -> None:
    """Log another device of the user out, and end its connection."""
    if request.client_id == call.client_id:
        raise Refusal(Code.INVALID_PARAMETER)
    ended = await store.write(sessions.end, call.uid, request.client_id)
    if not ended and not call.retried:
        raise Refusal(Code.NOT_EXIST)
    expulsion.watch(call.uid)
    expulsion.kick(call.uid, [request.client_id])


HANDLERS = Handlers(
    requests={
        SubSignal.UDL: devices,
        SubSignal.UDK: end,
    },
)
