"""A small agent for a robot, for development: it answers without any service of somebody else (docs/robots.md)."""

import asyncio
import sys
from collections.abc import Sequence

from aiohttp import web

from fsharechat.arguments import CommandParser
from fsharechat.errors import listen_problem

MAX_PORT = 65535
WORD_SECONDS = 0.1
_MAX_BODY = 1 << 20


def main(argv: Sequence[str]) -> int:
    """Run the agent until it is told to stop, and return the exit code."""
    parser = CommandParser(
        prog="fsharechat robot", description="An agent for a robot, to try one ([[robots.agents]] agent)."
    )
    parser.add_argument("--echo", action="store_true", required=True, help="repeat what it hears")
    parser.add_argument(
        "--listen", default="127.0.0.1:8090", metavar="HOST:PORT", help="where; 127.0.0.1:8090"
    )
    args = parser.parse_args(argv)
    host, _, port = args.listen.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal() and int(port) <= MAX_PORT):
        parser.error(f"--listen {args.listen!r}: must be host:port, such as 127.0.0.1:8090")

    def listening(_: str) -> None:
        print(f"an agent listens: agent = {f'http://{args.listen}'!r}", flush=True)

    try:
        web.run_app(echo(), host=host.strip("[]"), port=int(port), print=listening, access_log=None)
    except OSError as error:
        print(f"fsharechat robot: --listen: {listen_problem(host, int(port), error)}", file=sys.stderr)
        return 1
    return 0


def echo(word_seconds: float = WORD_SECONDS) -> web.Application:
    """Return an agent that says a question again, word by word."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
        await response.prepare(request)
        for word in (await _question(request)).split(" "):
            await response.write(f"{word} ".encode())
            await asyncio.sleep(word_seconds)
        await response.write_eof()
        return response

    async def ask(request: web.Request) -> web.Response:
        question = await _question(request)
        return web.json_response({"question": question, "answer": question, "route": "echo"})

    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_post("/stream", stream)
    app.router.add_post("/ask", ask)
    return app


async def _question(request: web.Request) -> str:
    try:
        body = await request.json()
        question = body["question"]
    except (ValueError, KeyError, TypeError):
        raise web.HTTPBadRequest(text="the body is a JSON object with a question\n") from None
    return str(question)
