"""A bridge between chat and another system.

POST /messages {"number": "138…", "text": "…"} sends a text, and answers with its id. Texts that come to the account
are posted to --webhook as {"id", "from", "text"}; one that the other system does not take is posted again and again.
"""

import asyncio

import account
from aiohttp import ClientError, ClientSession, web

from fsharechat.client import Client
from fsharechat.client import ClientError as ChatError
from fsharechat.protocol.signals import ContentType

PAUSE_SECONDS = 1.0


async def take(client: Client, request: web.Request) -> web.Response:
    """Send a text for the other system."""
    wanted = await request.json()
    try:
        found = [user for user in await client.search_users(wanted["number"]) if user.uid != client.user_id]
        if not found:
            return web.json_response({"error": "no such user"}, status=404)
        sent = await client.send(found[0].uid, wanted["text"])
    except ChatError as error:
        return web.json_response({"error": str(error)}, status=502)
    return web.json_response({"id": str(sent.message_id)})


async def post(webhook: str, news: dict[str, str]) -> None:
    """Hand news to the other system, for as long as it takes."""
    async with ClientSession() as http:
        while True:
            try:
                async with http.post(webhook, json=news) as answered:
                    if answered.ok:
                        return
            except ClientError as error:
                print(f"not taken: {error}", flush=True)
            await asyncio.sleep(PAUSE_SECONDS)


async def bridge(client: Client, webhook: str, port: int) -> None:
    app = web.Application()
    app.router.add_post("/messages", lambda request: take(client, request))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"takes messages at http://127.0.0.1:{runner.addresses[0][1]}/messages", flush=True)
        # The position moves when the next message is asked for: so one that was not posted comes again.
        async for message in client.messages():
            if message.from_user != client.user_id and message.content.type == ContentType.TEXT:
                text = message.content.searchable_content
                await post(webhook, {"id": str(message.message_id), "from": message.from_user, "text": text})
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    flags = account.parser(__doc__)
    flags.add_argument("--webhook", required=True, help="where texts that come are posted")
    flags.add_argument(
        "--port", type=int, default=8090, help="where messages are taken (%(default)s); 0: a free one"
    )
    arguments = flags.parse_args()
    account.run(arguments, lambda client: bridge(client, arguments.webhook, arguments.port))
