"""A Kurento Media Server as clients see it: its JSON-RPC, its errors, its sessions, its memory of answers.

It is a fake because a real one is no package that can be installed. Kurento's own clients take it for one
(test_media_official.py). What it carries is real: behind it is the
embedded forwarder. Its answers have no candidates, which come as events after gatherCandidates, as Kurento's do.

    python -m tools.testing.fake_kurento PORT      in a process of its own, until it is killed
"""

import asyncio
import re
import sys
import uuid
from collections import Counter
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from fsharechat.mediaserver import BadOffer, Candidate, MediaEvents, MediaServerError
from roles.media.sfu import Limits, Sfu
from roles.media.udp import UdpPort

HOST = "127.0.0.1"
NEW_EVENTS = frozenset({"IceCandidateFound", "IceComponentStateChanged"})
OLD_EVENTS = frozenset({"OnIceCandidate", "OnIceComponentStateChanged"})
_OPERATIONS = {
    "processOffer": {"offer"},
    "gatherCandidates": set(),
    "addIceCandidate": {"candidate"},
    "connect": {"sink"},
    "setMaxVideoSendBandwidth": {"maxVideoSendBandwidth"},
    "setMaxVideoRecvBandwidth": {"maxVideoRecvBandwidth"},
}


class KurentoFailure(Exception):
    def __init__(self, code: int, message: str, kind: str) -> None:
        super().__init__(message)
        self.answer = {"code": code, "message": message, "data": {"type": kind}}


class FakeKurento(MediaEvents):
    """`events` are the names that it knows. `async with` runs it; `start` after `stop` is on the same port."""

    def __init__(self, events: frozenset[str] = NEW_EVENTS, port: int = 0) -> None:
        self.knows = events
        self.port = port
        self.asked: Counter[str] = Counter()
        """Methods and operations."""
        self.frames: list[dict[str, Any]] = []
        self.candidates: list[dict[str, Any]] = []
        """What addIceCandidate was given."""
        self.objects: dict[str, dict[str, Any]] = {}
        self.refuse: dict[str, KurentoFailure] = {}
        """The next such operation fails."""
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}/kurento"

    async def __aenter__(self) -> "FakeKurento":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Be there, as a process that was started anew: it knows nothing of before."""
        self.server = str(uuid.uuid4())
        self.sessions: dict[str, dict[Any, dict[str, Any]]] = {}
        self.objects.clear()
        self._places: dict[str, web.WebSocketResponse] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self.sfu = Sfu(UdpPort(HOST, 0), HOST, Limits(room_limit=100), self)
        await self.sfu.open()
        app = web.Application()
        app.router.add_get("/kurento", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Be gone at once."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()  # first: clients come back at once
            await self.cut()
            await self._runner.cleanup()
            await self.sfu.close()
            self._runner = None

    async def cut(self) -> None:
        """Break all connections, without a farewell. Sessions stay."""
        cut = list(self._sockets)
        for socket in cut:
            if (transport := socket._req.transport if socket._req else None) is not None:
                transport.abort()
        while not self._sockets.isdisjoint(cut):
            await asyncio.sleep(0.01)

    # What the forwarder behind it tells

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None: ...

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        for id, one in list(self.objects.items()):
            if one["kind"] == "WebRtcEndpoint" and one.get("at") == (participant, peer):
                for name in ("IceComponentStateChanged", "OnIceComponentStateChanged"):
                    self._tell(id, name, {"streamId": 1, "componentId": 1, "state": "FAILED"})

    def on_closed(self, room: str, reason: str) -> None: ...

    def _tell(self, id: str, kind: str, data: dict[str, Any]) -> None:
        one = self.objects.get(id)
        socket = self._places.get(one["session"]) if one is not None and kind in one["heard"] else None
        if socket is None or socket.closed:
            return
        data = {"source": id, "tags": [], "timestampMillis": "1441277150433", "type": kind, **data}
        params = {"value": {"object": id, "type": kind, "data": data}}
        message = {"jsonrpc": "2.0", "method": "onEvent", "params": params}
        self._telling = asyncio.ensure_future(socket.send_str(orjson.dumps(message).decode()))

    # JSON-RPC

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        session = ""
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    session = await self._on_frame(socket, session, orjson.loads(message.data))
        finally:
            self._sockets.discard(socket)
        return socket

    async def _on_frame(self, socket: web.WebSocketResponse, session: str, frame: dict[str, Any]) -> str:
        self.frames.append(frame)
        method, params = frame["method"], frame.get("params") or {}
        self.asked[method] += 1
        session = params.get("sessionId") or session
        answer: dict[str, Any] = {"id": frame["id"], "jsonrpc": "2.0"}
        try:
            if method == "ping":
                answer["result"] = {"value": "pong"} | ({"sessionId": session} if session else {})
            elif method == "connect" and "sessionId" not in params:
                session = self._begin()
                answer["result"] = {"sessionId": session, "serverId": self.server}
            else:
                if session and session not in self.sessions:
                    raise KurentoFailure(40007, "Invalid session", "INVALID_SESSION")
                session = session or self._begin()
                remembered = self.sessions[session]
                if frame["id"] in remembered:
                    answer = remembered[frame["id"]]  # the same id again: the old answer, and nothing is done
                elif method == "connect":
                    answer["result"] = {"sessionId": session, "serverId": self.server}
                else:
                    self._places[session] = socket
                    value = await self._carry_out(session, method, params)
                    answer["result"] = {"value": value, "sessionId": session}
                remembered[frame["id"]] = answer
            if session:
                self._places[session] = socket
        except KurentoFailure as failure:
            answer["error"] = failure.answer
        if not socket.closed:
            await socket.send_str(orjson.dumps(answer).decode())
        return session

    def _begin(self) -> str:
        session = str(uuid.uuid4())
        self.sessions[session] = {}
        return session

    async def _carry_out(self, session: str, method: str, params: dict[str, Any]) -> Any:
        match method:
            case "create":
                return await self._create(session, params)
            case "subscribe":
                one = self._object(params["object"])
                if params["type"] not in self.knows:
                    raise KurentoFailure(
                        40106, f"Event '{params['type']}' not supported", "MEDIA_OBJECT_EVENT_NOT_SUPPORTED"
                    )
                one["heard"].add(params["type"])
                return str(uuid.uuid4())
            case "release":
                await self._release(params["object"])
                return None
            case "invoke":
                return await self._invoke(
                    params["object"], params["operation"], params.get("operationParams") or {}
                )
        raise KurentoFailure(-32601, "Method not found.", "METHOD_NOT_FOUND")

    def _object(self, id: str) -> dict[str, Any]:
        if id not in self.objects:
            raise KurentoFailure(40101, f"Object '{id}' not found", "MEDIA_OBJECT_NOT_FOUND")
        return self.objects[id]

    async def _create(self, session: str, params: dict[str, Any]) -> str:
        kind = params["type"]
        if (failure := self.refuse.pop("create", None)) is not None:
            raise failure
        parent = (params.get("constructorParams") or {}).get("mediaPipeline", "")
        if kind == "WebRtcEndpoint":
            self._object(parent)
        elif kind != "MediaPipeline":
            raise KurentoFailure(40108, f"Factory '{kind}' not found", "MEDIA_OBJECT_FACTORY_NOT_FOUND")
        id = (f"{parent}/" if parent else "") + f"{uuid.uuid4()}_kurento.{kind}"
        self.objects[id] = {
            "kind": kind,
            "session": session,
            "heard": set(),
            "parent": parent,
            "negotiated": False,
        }
        if kind == "WebRtcEndpoint":
            self.objects[id]["name"] = id
            await self.sfu.join(parent, id)
        return id

    async def _release(self, id: str) -> None:
        one = self.objects.pop(id, None)  # one that is not there is no error
        if one is None:
            return
        if one["kind"] == "MediaPipeline":
            for child in [child for child, other in self.objects.items() if other["parent"] == id]:
                del self.objects[child]
            await self.sfu.close_room(id)
            return
        heirs = [other for other in self.objects.values() if other.get("name") == one["name"]]
        if not heirs:
            await self.sfu.leave(one["parent"], one["name"])
        elif not any(heir["negotiated"] for heir in heirs):
            await self.sfu.join(one["parent"], one["name"])  # its connection ends

    async def _invoke(self, id: str, operation: str, params: dict[str, Any]) -> Any:
        one = self._object(id)
        self.asked[operation] += 1
        if set(params) != _OPERATIONS.get(operation):
            text = f"Method '{operation}' with {len(params)} parameters not found"
            raise KurentoFailure(40008, text, "MALFORMED_TRANSACTION")
        if (failure := self.refuse.pop(operation, None)) is not None:
            raise failure
        if operation == "connect":
            sink = self._object(params["sink"])
            before = sink.get("from")
            if before is not None and not one["negotiated"]:
                one["name"] = (
                    before  # the forwarder behind goes on with it as a new connection of the same one
                )
            sink["from"] = one["name"]
        elif operation == "processOffer":
            return await self._process_offer(one, params["offer"])
        elif operation == "gatherCandidates":
            asyncio.get_running_loop().call_soon(self._found, id, one.get("candidate", ""))
        elif operation == "addIceCandidate":
            self._add_candidate(params["candidate"])
        return None

    async def _process_offer(self, one: dict[str, Any], offer: str) -> str:
        if one["negotiated"]:
            raise KurentoFailure(40208, "Endpoint already negotiated", "SDP_END_POINT_ALREADY_NEGOTIATED")
        if not offer:
            raise KurentoFailure(40201, "Empty offer not valid", "SDP_PARSE_ERROR")
        try:
            if "from" not in one:
                one["at"] = (one["name"], one["name"])
                answer = await self.sfu.publish(one["parent"], one["name"], offer)
            else:
                one["at"] = (one["name"], one["from"])
                answer = await self.sfu.receive(one["parent"], one["name"], one["from"], offer)
        except BadOffer as error:
            raise KurentoFailure(40205, str(error), "SDP_END_POINT_PROCESS_OFFER_ERROR") from error
        except MediaServerError as error:
            raise KurentoFailure(40003, str(error), "UNEXPECTED_ERROR") from error
        one["negotiated"] = True
        found = re.search(r"a=(candidate:.*)", answer)
        one["candidate"] = found[1].strip() if found else ""
        return re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", answer)

    def _found(self, id: str, candidate: str) -> None:
        found = {"__module__": "kurento", "__type__": "IceCandidate", "candidate": candidate}
        for name in ("IceCandidateFound", "OnIceCandidate"):
            self._tell(id, name, {"candidate": {**found, "sdpMid": "0", "sdpMLineIndex": 0}})

    def _add_candidate(self, candidate: dict[str, Any]) -> None:
        kinds = {"candidate": str, "sdpMid": str, "sdpMLineIndex": int}
        if any(type(candidate.get(key)) is not kind for key, kind in kinds.items()):
            raise KurentoFailure(40001, "Marshalling error", "MARSHALL_ERROR")
        self.candidates.append(candidate)


async def _serve_for_ever(port: int) -> None:
    async with FakeKurento(port=port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_for_ever(int(sys.argv[1])))
