"""Prints the conversation with a user, or in a group, oldest first: a line of JSON for each message."""

import json
import sys

import account

from fsharechat.client import Client, group
from fsharechat.protocol import messages_pb2 as pb

PAGE = 100


async def show(client: Client, target: str, in_group: bool) -> None:
    conversation = group(target) if in_group else target
    messages: list[pb.Message] = []
    while page := await client.history(conversation, messages[-1].message_id if messages else 0, PAGE):
        messages += page  # newest first; the next page is of those below the lowest id
    for message in reversed(messages):
        content = message.content
        line = {
            "id": str(message.message_id),
            "ms": message.server_timestamp,
            "from": message.from_user,
            "type": content.type,
            "text": content.searchable_content,
            "address": content.remote_media_url,
        }
        json.dump(line, sys.stdout, ensure_ascii=False)
        print()


if __name__ == "__main__":
    flags = account.parser(__doc__)
    flags.add_argument("--target", required=True, help="the uid of the user, or the id of the group")
    flags.add_argument("--group", action="store_true", help="the target is a group")
    arguments = flags.parse_args()
    account.run(arguments, lambda client: show(client, arguments.target, arguments.group))
