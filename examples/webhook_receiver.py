"""Receives the webhooks of a server and prints them: `python webhook_receiver.py whsec_… [port]`."""

import sys

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError


async def receive(request: web.Request) -> web.Response:
    try:
        event = Webhook(sys.argv[1]).verify(await request.read(), dict(request.headers))
    except WebhookVerificationError:
        return web.Response(status=401)
    if event["id"] not in seen:  # after a failure on the way it may come once more
        seen.add(event["id"])
        print(event["type"], event["data"], flush=True)
    return web.Response(status=204)


seen: set[str] = set()  # a program that matters keeps them in its database
app = web.Application()
app.router.add_post("/", receive)
web.run_app(app, host="127.0.0.1", port=int((*sys.argv, "8600")[2]), print=None)
