"""Chooses the implementations for the settings. Those of a cluster are imported only if they are used."""

import hmac
import secrets
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from fsharechat import urls
from fsharechat.blobs import Blobs
from fsharechat.blobs.directory import DirectoryBlobs
from fsharechat.blobs.keys import Uploaders
from fsharechat.bus import Bus
from fsharechat.codes import CodeSender
from fsharechat.codes.delivery import Delivery
from fsharechat.codes.log import LogCodes
from fsharechat.medialink import MediaLink
from fsharechat.registry import Registry
from fsharechat.rpc import Rpc
from fsharechat.settings_schema import KAFKA_PORT, MYSQL_PORT, RpcSettings, Settings
from fsharechat.store import users
from fsharechat.store.store import Store
from fsharechat.workers import WorkerPlace

if TYPE_CHECKING:
    from fsharechat.workers.supervisor import Workers


def make_store(settings: Settings) -> Store:
    max_queue = settings.store.max_queue
    if settings.on_sqlite:
        from fsharechat.store.sqlite import SqliteStore

        return SqliteStore(settings.store_path(), max_queue)
    from fsharechat.store.mysql import MysqlStore

    return MysqlStore(urls.parse(settings.store.url, "mysql", MYSQL_PORT), max_queue, settings.store.tls)


def make_blobs(settings: Settings, store: Store) -> Blobs:
    """Return the media store. `store` need not be open before the first url is signed."""
    blobs, api = settings.blobs, settings.api

    async def folders_key() -> bytes:
        # Not from the cluster's secret: with a new secret, users could no longer replace their uploads.
        return await store.write(users.fact, "media_folders_key", secrets.token_bytes(32))

    uploaders = Uploaders(folders_key)
    if not blobs.in_directory:
        from fsharechat.blobs.s3 import S3Blobs

        return S3Blobs(blobs, api.cors_origins, uploaders)

    async def key() -> bytes:
        if settings.embedded:
            return await store.write(users.fact, "media_key", secrets.token_bytes(32))
        return hmac.digest(settings.node.cluster_secret.encode(), b"fsharechat media", "sha256")

    address = blobs.public_url.rstrip("/") or f"http://{urls.joined(api.host, api.port)}"
    return DirectoryBlobs(
        settings.media_path(),
        address,
        key,
        uploaders,
        url_seconds=blobs.url_seconds,
        max_bytes=blobs.max_bytes,
        reserve_bytes=blobs.reserve_bytes,
    )


def make_bus(settings: Settings, worker: WorkerPlace | None = None) -> Bus:
    if worker is not None:
        from fsharechat.bus.workers import WorkerBus

        return WorkerBus(worker.link)
    if settings.node.workers:
        from fsharechat.bus.workers import MainBus

        return MainBus()
    if settings.embedded:
        from fsharechat.bus.memory import MemoryBus

        return MemoryBus()
    from fsharechat.bus.kafka import KafkaBus

    return KafkaBus(urls.parse(settings.bus.url, "kafka", KAFKA_PORT), settings.bus.tls, settings.bus.sasl)


def make_registry(settings: Settings, worker: WorkerPlace | None = None) -> Registry:
    if worker is not None:
        from fsharechat.registry.workers import WorkerRegistry

        return WorkerRegistry(worker.group)
    if settings.node.workers:
        from fsharechat.registry.workers import MainRegistry

        return MainRegistry()
    if settings.embedded:
        from fsharechat.registry.memory import MemoryRegistry

        return MemoryRegistry()
    from fsharechat.registry.zookeeper import ZooKeeperRegistry

    return ZooKeeperRegistry(settings.registry.url, settings.registry.session_seconds)


def make_rpc(settings: Settings, registry: Registry, worker: WorkerPlace | None = None) -> Rpc:
    among_workers = settings.node.workers > 0 or worker is not None
    if settings.embedded and not among_workers:
        from fsharechat.rpc.local import LocalRpc

        return LocalRpc(settings.rpc.timeout_seconds)
    from fsharechat.rpc.tcp import TcpRpc

    serves = "group" in settings.node.roles
    # Workers are on this machine, so the calls go over its loopback, without TLS and on any free port.
    loopback = RpcSettings(timeout_seconds=settings.rpc.timeout_seconds)
    return TcpRpc(
        loopback if among_workers else settings.rpc,
        settings.node.cluster_secret,
        partial(registry.watch, "group"),
        listen=serves,
        max_body=settings.connector.max_body_bytes,
    )


def make_media_link(settings: Settings, registry: Registry, rpc: Rpc) -> MediaLink:
    if settings.embedded:
        from fsharechat.medialink.local import LocalMediaLink

        return LocalMediaLink()
    from fsharechat.medialink.cluster import ClusterMediaLink

    return ClusterMediaLink(settings.rpc, settings.node.cluster_secret, registry, rpc, settings.node.roles)


def make_workers(
    settings: Settings,
    bus: Bus,
    registry: Registry,
    rpc: Rpc,
    on_reload: Callable[[Callable[[], None]], None],
) -> "Workers":
    """Return what starts the workers. `on_reload` takes a function to be called at a SIGHUP."""
    from fsharechat.bus.workers import MainBus
    from fsharechat.registry.workers import MainRegistry
    from fsharechat.workers.supervisor import Workers

    assert isinstance(bus, MainBus)
    assert isinstance(registry, MainRegistry)
    return Workers(settings, bus, registry, rpc, on_reload)


CALL_SHARE = 0.8
"""The share of a call's time for sending a code. The rest is for the store, and the way back."""


def make_codes(settings: Settings) -> Delivery:
    """Return the sender of login codes. Raises CodeError."""
    codes = settings.codes
    seconds = min(codes.send_seconds, settings.rpc.timeout_seconds * CALL_SHARE)
    minutes = max(1, int(codes.lifetime_seconds // 60))
    mobile: CodeSender | None = None
    mail: CodeSender | None = None
    match codes.provider:
        case "log":
            mobile = mail = LogCodes()
        case "aliyun":
            from fsharechat.codes.aliyun import AliyunCodes

            mobile = AliyunCodes(codes.aliyun, seconds, codes.max_sending)
        case "tencent":
            from fsharechat.codes.tencent import TencentCodes

            mobile = TencentCodes(codes.tencent, minutes, seconds, codes.max_sending)
    if codes.smtp.host:
        from fsharechat.codes.smtp import SmtpCodes

        mail = SmtpCodes(codes.smtp, minutes, seconds)
    return Delivery(mobile, mail, seconds, codes.max_sending)
