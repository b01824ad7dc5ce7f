"""What processes say to each other has a version, which changes with it: else two releases misread each other.

When a test here is red, the shapes have changed: raise the version, keep the way in which the version before writes
(rpc/codec.py and bus/codec.py say how), and add its line. A line that has been released is never edited.
"""

import hashlib
from functools import partial

import pytest

from fsharechat.bus import Presence, Resync, events_pb2
from fsharechat.bus import codec as bus_codec
from fsharechat.bus.codec import RecordError, VersionError
from fsharechat.rpc import Call, Method, Reply, payloads
from fsharechat.rpc import codec as rpc_codec
from fsharechat.rpc.payloads import Marks, Welcome
from fsharechat.store.heads import Heads
from fsharechat.store.inboxes import PulledEntry, PulledInbox

RPC = {2: "e97134c8e464d6ad", 3: "98aff48410d8ecf7"}
BUS = {1: "250e2965a612d41b", 2: "ef088ca8cb9f71b0"}


def digest(*shapes: object) -> str:
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def rpc_shapes() -> str:
    frames = [
        struct.format
        for struct in (rpc_codec._CALL, rpc_codec._CHALLENGE, rpc_codec._PROOF, rpc_codec._ACCEPTED)
    ]
    kinds = [
        [(one.name, one.value) for one in kind]
        for kind in (
            Method,
            rpc_codec.AuthStep,
            rpc_codec.ServiceNotice,
            rpc_codec.Probe,
            rpc_codec.DisconnectReason,
        )
    ]
    fields = [kind._fields for kind in (Call, Reply, Welcome, Heads, Marks, PulledEntry, PulledInbox)]
    structs = [struct.format for struct in (payloads._NUMBERS, payloads._HEAD, payloads._ENTRY)]
    return digest(frames, kinds, fields, structs)


def bus_shapes() -> str:
    key = bus_codec.presence_key(Presence("uid", "client", 5, 1))
    return digest(events_pb2.DESCRIPTOR.serialized_pb, key)


def test_the_rpc_has_the_version_of_its_shapes() -> None:
    assert RPC.get(rpc_codec.NEWEST) == rpc_shapes(), "see above: this change needs a new version"


def test_the_bus_has_the_version_of_its_shapes() -> None:
    assert BUS.get(bus_codec.SPOKEN.newest) == bus_shapes(), "see above: this change needs a new version"


def test_records_of_another_version_are_refused() -> None:
    here = Presence("uid", "client", 5, 1)
    for version in (0, bus_codec.SPOKEN.oldest - 1, bus_codec.SPOKEN.newest + 1):
        key, presence = bus_codec.presence_key(here), bus_codec.encode_presence(here, version)
        events, keys = bus_codec.encode_events([], version), bus_codec.encode_keys(["ann"], version)
        for decode in (
            partial(bus_codec.decode_presence, key, presence),
            partial(bus_codec.decode_events, events),
            partial(bus_codec.decode_keys, keys),
        ):
            with pytest.raises(VersionError, match=f"of version {version} of the bus, we speak"):
                decode()
    assert issubclass(VersionError, RecordError)


def test_records_of_every_version_that_is_spoken_are_read() -> None:
    here = Presence("uid", "client", 5, 1)
    for version in range(bus_codec.SPOKEN.oldest, bus_codec.SPOKEN.newest + 1):
        presence = bus_codec.encode_presence(here, version)
        assert bus_codec.decode_presence(bus_codec.presence_key(here), presence) == here
        assert bus_codec.decode_keys(bus_codec.encode_keys(["ann"], version)) == ["ann"]
        assert bus_codec.decode_events(bus_codec.encode_events([Resync()], version)) == [Resync()]
