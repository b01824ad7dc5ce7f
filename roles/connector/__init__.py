"""The connector role: it holds the connections of clients, and speaks frames and JSON with them."""

from fsharechat.errors import StartError, listening
from fsharechat.node import Node
from fsharechat.process import raise_open_files
from fsharechat.registry import Lease
from fsharechat.urls import joined
from roles.connector.acceptor import Acceptor
from roles.connector.certificate import Certificate, CertificateError
from roles.connector.hub import Hub
from roles.connector.tcp import TcpConnection
from roles.connector.websocket import WebSocketServer


class ConnectorRole:
    name = "connector"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._node: Node | None = None
        self._lease: Lease | None = None
        self._certificate: Certificate | None = None
        self._hub: Hub | None = None
        self._tcp: Acceptor | None = None
        self._web: WebSocketServer | None = None

    async def start(self, node: Node) -> None:
        self._node = node
        settings = node.settings.connector
        lease = self._lease = await node.lease("connector", _name(node))
        await node.rpc.wait_ready()
        hub = self._hub = Hub(node.settings, lease, node.rpc, node.bus, raise_open_files())
        await hub.start()
        certificate = self._load_certificate()
        context = certificate.context if certificate is not None else None
        self._tcp = Acceptor(
            hub.admit,
            lambda visit: TcpConnection(hub.connections, visit),
            context,
            settings.authenticate_seconds,
            node.shares_ports,
        )
        host, port = settings.host, settings.tcp_port
        with listening(f"[connector] tcp_port = {port}", host, port):
            tcp_name = await self._tcp.listen(host, port)
        self._web = WebSocketServer(hub.connections, hub.admit, node.shares_ports)
        port = settings.ws_port
        with listening(f"[connector] ws_port = {port}", host, port):
            name = await self._web.listen(host, port, context)
        self.addresses["tcp"] = joined(*tcp_name[:2])
        self.addresses["ws"] = f"{'wss' if context is not None else 'ws'}://{joined(*name[:2])}/"
        metrics = node.metrics
        metrics.gauge("sessions", "Connections, logged in or not.", lambda: len(hub.table.sessions))
        metrics.gauge("devices_online", "Devices that are logged in here.", lambda: hub.table.devices)
        metrics.gauge("users_online", "Users with a device connected here.", lambda: len(hub.table.users))
        if certificate is not None:
            metrics.gauge(
                "certificate_expires_seconds",
                "When the certificate of the clients' ports expires, seconds since 1970.",
                lambda: certificate.expires,
            )
        hub.flow.answers.publish(metrics)
        metrics.gauge("requests_under_way", "Requests of devices without answer.", lambda: hub.flow.inflight)
        metrics.counter("notifications", "MN frames sent.", lambda: hub.table.notified)
        metrics.counter(
            "connections_refused", "Connections beyond the limits.", lambda: hub.admission.refused
        )

    async def stop(self) -> None:
        if self._tcp is not None:
            self._tcp.stop_listening()
        if self._web is not None:
            self._web.stop_listening()
        if self._hub is not None:
            await self._hub.stop()
        if self._tcp is not None:
            await self._tcp.close()
        if self._web is not None:
            await self._web.close()
        if self._certificate is not None:
            await self._certificate.close()
        if self._lease is not None:
            await self._lease.release()

    def _load_certificate(self) -> Certificate | None:
        assert self._node is not None
        tls = self._node.settings.connector.tls
        if not tls.on:
            return None
        try:
            self._certificate = Certificate(tls.certificate, tls.key)
        except CertificateError as error:
            raise StartError(f"[connector.tls] {error}") from error
        self._certificate.watch()
        self._node.on_reload(self._certificate.look)
        return self._certificate


def _name(node: Node) -> str:
    """Return the name of this connector for people: the address of its port, if known before it listens."""
    settings = node.settings.connector
    return joined(settings.host, settings.tcp_port) if settings.tcp_port else node.rpc.address
