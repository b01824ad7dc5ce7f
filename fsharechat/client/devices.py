"""A user's own devices (contract.md section 8)."""

from fsharechat.client.transport import SendRequest, ask
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal


class UserDevices:
    """The requests about the user's own devices: `Client.devices`."""

    def __init__(self, request: SendRequest) -> None:
        """`request` is Client.request."""
        self._request = request

    async def list(self) -> list[pb.UserDevice]:
        """Return the devices that are logged in. `current` is 1 for this one, `online` for those connected."""
        found = await ask(self._request, SubSignal.UDL, pb.Version(version=0), pb.UserDevicesResult)
        return [*found.device]

    async def log_out(self, client_id: str) -> None:
        """End the session and the connection of another device. Raises NotExist if there is none."""
        await self._request(SubSignal.UDK, pb.EndDeviceRequest(client_id=client_id))
