"""People on the chat page, and what tests of it need before they begin."""

from collections.abc import Awaitable, Callable

from playwright.async_api import expect

from fsharechat.client import Client, login
from tools.testing.server import SUPER_CODE, Server
from tools.testing.web import Person

Enter = Callable[..., Awaitable[Person]]
"""Let one more person log in, with options of Playwright's new_context."""


async def befriend(server: Server, ann: Person, ben: Person) -> None:
    """Make two people friends, from other devices of theirs."""
    phones = [await login(server.at.http, one.number, SUPER_CODE, "phone") for one in (ann, ben)]
    async with (
        Client(phones[0], **server.at.of("ws")) as first,
        Client(phones[1], **server.at.of("ws")) as second,
    ):
        await first.add_friend(phones[1].user_id, "hello")
        await second.handle_friend_request(phones[0].user_id)


async def open_conversation(person: Person, conv: str) -> None:
    """Open a conversation by its address."""
    await person.page.goto(f"{person.url}/#/c/{conv}")
    # The one that was open before has a field for texts, too.
    await expect(person.page.locator(f'.chat[data-conv="{conv}"] .composer textarea')).to_be_visible()


async def chat_of(person: Person, other: Person) -> None:
    """Open the conversation with somebody."""
    await open_conversation(person, f"0-0-{await other.uid}")
