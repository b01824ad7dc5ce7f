"""The way to reach Kafka: servers, TLS, and the user that logs in. All clients of aiokafka share it."""

import asyncio
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from fsharechat import tls, urls
from fsharechat.bus import BusAway, BusError
from fsharechat.settings_types import ServiceTls
from fsharechat.urls import ServiceUrl

FAULT_SECONDS = 2.0
"""How long finding the reason for a missing answer may take, s."""
NO_TLS = ServiceTls()
_NO_BROKER = "no broker answers"


@dataclass(frozen=True)
class Access:
    """`sasl` is a value of [bus] sasl. It has no meaning without a user."""

    servers: str
    user: str = ""
    password: str = field(default="", repr=False)
    sasl: str = "scram-sha-512"
    tls: ServiceTls = NO_TLS

    @classmethod
    def of(cls, url: ServiceUrl, tls: ServiceTls, sasl: str) -> "Access":
        return cls(url.addresses, url.user, url.password, sasl, tls)

    @cached_property
    def options(self) -> dict[str, Any]:
        """The arguments that all clients share. Raises BusError if the files cannot be used."""
        return {"bootstrap_servers": self.servers, **self._security}

    @cached_property
    def _security(self) -> dict[str, Any]:
        transport = "SSL" if self.tls.on else "PLAINTEXT"
        options: dict[str, Any] = {"security_protocol": f"SASL_{transport}" if self.user else transport}
        if self.tls.on:
            try:
                options["ssl_context"] = tls.client_context(self.tls)
            except tls.TlsError as error:
                raise BusError(f"[bus.tls] {error}") from error
        if self.user:
            options["sasl_mechanism"] = self.sasl.upper()
            options["sasl_plain_username"] = self.user
            options["sasl_plain_password"] = self.password
        return options

    def renew(self) -> float | None:
        """Let all clients use the present contents of the files when they connect again. Raises TlsError."""
        return tls.renew([self._security["ssl_context"]], self.tls) if self.tls.on else None

    def unreached(self, error: Exception) -> BusError:
        """Return the error for a Kafka that could not be reached."""
        why = _NO_BROKER if isinstance(error, KafkaConnectionError) else error or "no answer"
        passes = isinstance(error, (OSError, TimeoutError)) or getattr(error, "retriable", False)
        return (BusAway if passes else BusError)(f"{self.servers}: {why}")

    async def fault(self, error: Exception) -> BusError:
        """Return the error to raise after `error`. Ask the servers for the reason: aiokafka does not tell it."""
        if not isinstance(error, KafkaConnectionError):
            return self.unreached(error)
        for server in self.servers.split(","):
            if why := await self._why(*urls.host_and_port(server, 0)):
                return BusError(f"{server}: {why}")
        return self.unreached(error)

    async def _why(self, host: str, port: int) -> str:
        """Return in plain words, without secrets, why this server cannot be used; "" if it just does not answer."""
        try:
            async with asyncio.timeout(FAULT_SECONDS):
                (await create_conn(host, port, **self._security)).close()
        except ssl.SSLError as error:
            return f"{tls.why(error)} ([bus.tls])"
        except (SaslAuthenticationFailed, AuthenticationFailedError):
            return f"it does not take the user {self.user!r} with this password, by {self.sasl} ([bus] url, sasl)"
        except UnsupportedSaslMechanismError:
            return f"it has no {self.sasl} ([bus] sasl)"
        except IllegalSaslStateError:
            return "it wants no user and password ([bus] url)"
        except (ConnectionResetError, KafkaConnectionError):
            hint = "is that port for TLS, and for users?" if self.tls.on else "does it want TLS ([bus.tls])?"
            return f"it hung up: {hint}"
        except (KafkaError, OSError):
            return ""
        return "" if self.user else "it stops answering: does it want a user and password ([bus] url)?"
