"""Chooses the provider for a code, and keeps the bounds for each provider."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from fsharechat.codes import CodeError, CodeSender, CodeUnconfirmed
from fsharechat.metrics import Labelled

_OUTCOMES = _SENT, _FAILED, _UNCONFIRMED = "sent", "failed", "unconfirmed"

MAX_REASON = 500
"""How many characters of a provider's reason are kept."""


@dataclass
class Delivery(CodeSender):
    """Sends codes by `mobile` or by `mail`. Each of them may be missing.

    Sending a code takes at most `seconds`, and at most `at_once` codes are sent at a time.
    """

    mobile: CodeSender | None
    mail: CodeSender | None
    seconds: float
    at_once: int
    sending: int = 0
    """How many codes are being sent."""
    _outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def outcomes(self) -> Labelled:
        """Return how many codes went out by `mobile` and by `mail`, by outcome.

        `failed` were not sent; of `unconfirmed` ones nobody knows.
        """
        ways = [way for way, sender in (("mobile", self.mobile), ("mail", self.mail)) if sender is not None]
        return [((way, outcome), self._outcomes[way, outcome]) for way in ways for outcome in _OUTCOMES]

    def reaches(self, number: str) -> bool:
        """Return whether there is a provider for a mobile number or e-mail address."""
        sender = self._sender(number)
        return sender is not None and sender.reaches(number)

    async def send(self, number: str, code: str) -> None:
        sender = self._sender(number)
        if sender is None or not sender.reaches(number):
            raise CodeError("no provider for this kind of number")
        way, outcome = "mail" if "@" in number else "mobile", _FAILED
        try:
            await self._send_by(sender, number, code)
            outcome = _SENT
        except CodeUnconfirmed:
            outcome = _UNCONFIRMED
            raise
        finally:
            self._outcomes[way, outcome] += 1

    async def _send_by(self, sender: CodeSender, number: str, code: str) -> None:
        if self.sending >= self.at_once:
            raise CodeError(f"{self.at_once} codes are being sent already")
        self.sending += 1
        try:
            async with asyncio.timeout(self.seconds):
                await sender.send(number, code)
        except TimeoutError:
            raise CodeUnconfirmed(f"no answer within {self.seconds:g} s") from None
        except CodeError as error:
            raise type(error)(_without(str(error), code, number.removeprefix("+"))) from None
        finally:
            self.sending -= 1

    async def check(self) -> str:
        found, failed = [], False
        for kind, sender in (("mobile numbers", self.mobile), ("e-mail addresses", self.mail)):
            try:
                found.append(f"to {kind}: {await sender.check() if sender else 'none'}")
            except CodeError as error:
                found.append(f"to {kind}: {error}")
                failed = True
        if failed:
            raise CodeError("; ".join(found))
        return "; ".join(found)

    async def close(self) -> None:
        for sender in (self.mobile, self.mail):
            if sender is not None:
                await sender.close()

    def _sender(self, number: str) -> CodeSender | None:
        return self.mail if "@" in number else self.mobile


def _without(reason: str, *secrets: str) -> str:
    """Return a provider's reason without the sent values: some repeat them, even the addresses of requests."""
    for secret in secrets:
        reason = reason.replace(secret, "***")
    return reason[:MAX_REASON]
