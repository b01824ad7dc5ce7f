"""A bot that agrees to be friends with whoever asks, and answers each text with the same text."""

import asyncio

import account

from fsharechat.client import Client, Connected, FriendRequestsChanged, conversation_of
from fsharechat.protocol.signals import ContentType, RequestStatus


async def agree(client: Client) -> None:
    """Accept friend requests: those that come, and those that came while the bot was away."""
    async for event in client.events():
        if isinstance(event, Connected | FriendRequestsChanged):
            for request in await client.friend_requests():
                if request.to_uid == client.user_id and request.status == RequestStatus.SENT:
                    await client.handle_friend_request(request.from_uid)


async def echo(client: Client) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(agree(client))
        async for message in client.messages():
            if message.from_user != client.user_id and message.content.type == ContentType.TEXT:
                await client.send(
                    conversation_of(message, client.user_id), message.content.searchable_content
                )
                print("answered", message.from_user)


if __name__ == "__main__":
    account.run(account.parser(__doc__).parse_args(), echo)
