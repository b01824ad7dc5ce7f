"""What the examples share: which account of which server they use, and a login that is kept for the next start."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from fsharechat.client import Client, Credentials, State, login


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the flags that all examples have."""
    flags = argparse.ArgumentParser(description=description)
    account = flags.add_mutually_exclusive_group(required=True)
    account.add_argument("--number", default="", help="the mobile number or e-mail address of the account")
    account.add_argument(
        "--token", default="", help="the token of a bot: fsharechat admin bots create prints it"
    )
    flags.add_argument("--code", default="", help="its login code; of no use once the login is kept")
    flags.add_argument(
        "--http", default="http://127.0.0.1:8081", help="the server, for the login (%(default)s)"
    )
    flags.add_argument("--tcp", default="127.0.0.1:6789", help="the server, for messages (%(default)s)")
    flags.add_argument("--state", type=Path, default=Path("state"), help="the folder that keeps the login")
    return flags


def run(arguments: argparse.Namespace, work: Callable[[Client], Awaitable[None]]) -> None:
    """Log in, connect, and do the work; Ctrl-C ends it."""

    async def connected() -> None:
        # The state keeps the login and how far the program has come: after a restart it goes on from there.
        name = arguments.number or Credentials.from_bot_token(arguments.token).user_id
        with State(arguments.state, name, arguments.http) as state:
            me = await log_in(arguments) if arguments.token else state.credentials or await log_in(arguments)
            state.credentials = me
            state.save(state.position)
            async with Client(
                me, tcp=arguments.tcp, position=state.position, on_position=state.save
            ) as client:
                print(f"connected as {me.user_id}", flush=True)
                await work(client)

    with suppress(KeyboardInterrupt):
        asyncio.run(connected())


async def log_in(arguments: argparse.Namespace) -> Credentials:
    """Log the account in. Raises LoginError; the device has one name, so that it is one device at each start."""
    if arguments.token:
        return Credentials.from_bot_token(arguments.token)
    return await login(
        arguments.http, arguments.number, arguments.code, client_id=f"example-{arguments.number}"
    )
