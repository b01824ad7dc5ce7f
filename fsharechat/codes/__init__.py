"""Login codes on their way to people."""

from abc import ABC, abstractmethod


class CodeError(Exception):
    """The code was not sent; the text is the provider's reason."""


class CodeUnconfirmed(CodeError):
    """Nobody knows whether the code was sent: the provider was asked and did not answer."""


class CodeSender(ABC):
    @abstractmethod
    async def send(self, number: str, code: str) -> None:
        """Send a login code to a mobile number or e-mail address. Raises CodeError."""

    @abstractmethod
    async def check(self) -> str:
        """Reach the provider, sending nothing, and return what was found. Raises CodeError."""

    async def close(self) -> None:  # noqa: B027 - most hold nothing
        """Let go of what it holds."""


def fill(text: str, code: str, minutes: int) -> str:
    """Return a text of the settings with its {code} and {minutes} filled in."""
    return text.replace("{code}", code).replace("{minutes}", str(minutes))
