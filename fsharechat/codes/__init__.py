"""Login codes on their way to people."""

from abc import ABC, abstractmethod


class CodeError(Exception):
    """The code could not be sent; the text is the provider's reason."""


class CodeSender(ABC):
    @abstractmethod
    async def send(self, number: str, code: str) -> None:
        """Send a login code to a mobile number or e-mail address. Raises CodeError."""
