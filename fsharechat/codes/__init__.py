"""Sends login codes to people."""

from abc import ABC, abstractmethod


class CodeError(Exception):
    """The code was not sent. The text is the provider's reason."""


class CodeUnconfirmed(CodeError):
    """It is unknown whether the code was sent: the provider did not answer."""


class CodeSender(ABC):
    def reaches(self, number: str) -> bool:
        """Return whether it sends to a number or address of the kind that it is for."""
        return True

    @abstractmethod
    async def send(self, number: str, code: str) -> None:
        """Send a login code to a mobile number or e-mail address. Raises CodeError."""

    @abstractmethod
    async def check(self) -> str:
        """Connect to the provider, without sending a code, and return the result. Raises CodeError."""

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Close connections."""


def fill(text: str, code: str, minutes: int) -> str:
    """Return a text of the settings with its {code} and {minutes} filled in."""
    return text.replace("{code}", code).replace("{minutes}", str(minutes))
