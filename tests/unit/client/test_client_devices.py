"""The user's own devices are asked for as the contract says (contract.md section 8)."""

import pytest

from fsharechat.client import Client, NotExist, RequestError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, FakePeer

WEB = pb.UserDevice(client_id="web", kind="web", name="w", login_dt=7, seen_dt=9, online=1, current=0)


async def test_devices_are_listed_and_logged_out(peer: FakePeer, transport: str) -> None:
    answers = {SubSignal.UDL: pb.UserDevicesResult(device=[WEB]), SubSignal.UDK: None}
    peer.rule = lambda sub, body: (0, answers[sub]) if sub in answers else None
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        assert await client.devices.list() == [WEB]
        await client.devices.log_out("web")
        assert [body.client_id for body in peer.asked(SubSignal.UDK)] == ["web"]
        peer.rule = lambda sub, body: (253, None) if sub is SubSignal.UDK else None
        with pytest.raises(NotExist if transport == "tcp" else RequestError):
            await client.devices.log_out("web")
