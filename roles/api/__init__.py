"""The api role: HTTP for login and monitoring."""

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.errors import StartError, listen_problem
from fsharechat.node import Node
from fsharechat.open_files import most_connections
from fsharechat.process import raise_open_files
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
        try:
            host, port = await listener.listen()
        except OSError as error:
            problem = listen_problem(settings.host, settings.port, error)
            raise StartError(f"[api] port = {settings.port}: {problem}") from error
        shown = f"[{host}]" if ":" in host else host
        self.addresses["http"] = address = f"http://{shown}:{port}"
        if isinstance(node.blobs, DirectoryBlobs) and not node.settings.blobs.public_url:
            node.blobs.address = address

        metrics = node.metrics
        metrics.gauge("http_connections", "Connections of the api role.", lambda: listener.connections)
        metrics.counter("http_refused", "Connections beyond its limit.", lambda: listener.refused)

    async def stop(self) -> None:
        if self._listener is not None:
            await self._listener.close()
