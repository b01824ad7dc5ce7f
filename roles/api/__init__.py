"""The api role: HTTP for login and monitoring."""

from aiohttp import web

from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.errors import listen_problem
from fsharechat.node import Node, StartError
from roles.api.app import make_app


class ApiRole:
    name = "api"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def start(self, node: Node) -> None:
        settings = node.settings.api
        await node.rpc.wait_ready()
        self._runner = web.AppRunner(make_app(node), access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port, backlog=1024).start()
        except OSError as error:
            problem = listen_problem(settings.host, settings.port, error)
            raise StartError(f"[api] port = {settings.port}: {problem}") from error
        host, port = self._runner.addresses[0][:2]
        self.addresses["http"] = address = f"http://{host}:{port}"
        if isinstance(node.blobs, DirectoryBlobs) and not node.settings.blobs.public_url:
            node.blobs.address = address

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
