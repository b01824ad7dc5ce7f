"""A robot that says each text again, word by word: the other side sees it while it is written.

Make its user a robot first: fsharechat admin users robot NUMBER
"""

import asyncio

import account

from fsharechat.client import Client, conversation_of
from fsharechat.protocol.signals import ContentType, ConversationType

WORD_SECONDS = 0.2


async def answer(client: Client) -> None:
    async for message in client.messages():
        where = conversation_of(message, client.user_id)
        text = message.content
        if (
            message.from_user != client.user_id
            and text.type == ContentType.TEXT
            and where.type == ConversationType.PRIVATE
        ):
            async with client.answering(message.from_user) as said:
                for word in text.searchable_content.split():
                    await said.write(f"{word} ")
                    await asyncio.sleep(WORD_SECONDS)
            print("answered", message.from_user)


if __name__ == "__main__":
    account.run(account.parser(__doc__).parse_args(), answer)
