"""A bot that answers each text with a file that has the text in it."""

import account

from fsharechat.client import Client, conversation_of
from fsharechat.protocol.signals import ContentType


async def answer(client: Client) -> None:
    async for message in client.messages():
        if message.from_user != client.user_id and message.content.type == ContentType.TEXT:
            note = message.content.searchable_content.encode()
            # A path does as well as bytes. It goes straight to the media store, and the message has its address.
            await client.media.send_file(conversation_of(message, client.user_id), note, name="note.txt")


if __name__ == "__main__":
    account.run(account.parser(__doc__).parse_args(), answer)
