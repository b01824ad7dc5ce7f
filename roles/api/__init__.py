"""The api role: HTTP for login and monitoring."""

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.errors import listening
from fsharechat.node import Node
from fsharechat.open_files import most_connections
from fsharechat.process import raise_open_files
from fsharechat.urls import joined
from roles.api.app import make_app
from roles.api.listener import Listener


class ApiRole:
    name = "api"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._listener: Listener | None = None

    async def start(self, node: Node) -> None:
        settings = node.settings.api
        await node.rpc.wait_ready()
        most = most_connections("[api] max_connections", settings.max_connections, raise_open_files())
        listener = self._listener = Listener(make_app(node), settings, most)
        with listening(f"[api] port = {settings.port}", settings.host, settings.port):
            host, port = await listener.listen()
        self.addresses["http"] = address = f"http://{joined(host, port)}"
        if isinstance(node.blobs, DirectoryBlobs) and not node.settings.blobs.public_url:
            node.blobs.address = address

        metrics = node.metrics
        metrics.gauge("http_connections", "Connections of the api role.", lambda: listener.connections)
        metrics.counter("http_refused", "Connections beyond its limit.", lambda: listener.refused)

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.close()
