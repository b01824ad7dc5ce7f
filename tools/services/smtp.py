"""aiosmtpd: it takes every mail and keeps it in a Maildir, for login codes to e-mail addresses."""

import smtplib
import sys
from collections.abc import Sequence
from typing import ClassVar

from .install import Installer
from .service import HOST, OnePortDaemon, Say, Service


class SmtpDaemon(OnePortDaemon):
    def prepare(self, say: Say) -> None:
        for folder in ("new", "cur", "tmp"):
            (self.data / folder).mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        keep = ["-c", "aiosmtpd.handlers.Mailbox", str(self.data)]
        return [sys.executable, "-P", "-m", "aiosmtpd", "-n", "-l", f"{HOST}:{self._port}", *keep]

    def ready(self) -> bool:
        try:
            with smtplib.SMTP(HOST, self._port, timeout=2) as server:
                return server.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False


class Smtp(Service):
    name: ClassVar[str] = "smtp"
    port_count: ClassVar[int] = 1

    def install(self, installer: Installer) -> None:
        """Do nothing: it is one of the libraries in requirements-dev.txt."""

    @property
    def daemons(self) -> Sequence[SmtpDaemon]:
        return [SmtpDaemon(self.name, self.folder / self.name, self.ports[0])]

    def variables(self) -> dict[str, str]:
        return {
            "FSHARECHAT_CODES__SMTP__HOST": HOST,
            "FSHARECHAT_CODES__SMTP__PORT": str(self.ports[0]),
            "FSHARECHAT_CODES__SMTP__SECURITY": "none",
            "FSHARECHAT_CODES__SMTP__SENDER": "fsharechat@localhost",
            "SMTP_MAILDIR": str(self.daemons[0].data),
        }
