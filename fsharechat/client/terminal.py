"""`fsharechat chat`: a chat client for the terminal."""

import argparse
import asyncio
import logging
import re
import secrets
import ssl
import sys
from dataclasses import replace
from pathlib import Path

from fsharechat import urls
from fsharechat.arguments import CommandParser, address
from fsharechat.client.chat import Chat, Quit
from fsharechat.client.client import Client
from fsharechat.client.console import Console, console
from fsharechat.client.errors import ClientError, ConnectRefused, Disconnected, InvalidReply, LoginError
from fsharechat.client.login import begin_company_login, company_login, login, send_code
from fsharechat.client.models import Credentials, Position
from fsharechat.client.options import Options
from fsharechat.client.state import InUse, State, default_folder
from fsharechat.protocol.signals import LoginCode

CODE_ATTEMPTS = 3
COMPANY = "company"
"""The name of the state of a login with a company account, if --number gives none."""
OPTIONS = Options(backoff_max=5.0, report_delivery=True, follow_reports=True)


class Failure(Exception):
    """The chat cannot start or go on. The text says why in plain words."""


def main(argv: list[str]) -> int:
    """Run the terminal client. Return the exit code: 0 left by the user, 1 it could not go on, 2 wrong flags."""
    args = _parser().parse_args(argv)
    logging.getLogger("fsharechat").addHandler(
        logging.NullHandler()
    )  # the important errors are shown in plain words
    screen = console()
    try:
        asyncio.run(_main(args, screen))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        return 0
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="fsharechat chat",
        description="A chat client for the terminal.",
        epilog="In the chat /help lists its commands. Exit codes: 0 left, 1 could not go on, 2 wrong flags.",
    )
    parser.add_argument("--number", help="your mobile number or e-mail address; asked for when not given")
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--code", help="the login code; without it a code is sent to you and asked for")
    way.add_argument(
        "--company",
        action="store_true",
        help="log in with a company account: you allow it in a browser, on any machine; needs no --number",
    )
    parser.add_argument(
        "--http",
        type=address(urls.HTTP),
        default=urls.HTTP.example,
        metavar="URL",
        help="the server's HTTP address, for the login (%(default)s)",
    )
    server = parser.add_mutually_exclusive_group()
    server.add_argument(
        "--tcp",
        type=address(urls.TCP),
        default=urls.TCP.example,
        metavar="HOST:PORT",
        help="the server (%(default)s)",
    )
    parser.add_argument("--tls", action="store_true", help="the server of --tcp speaks TLS")
    server.add_argument(
        "--ws",
        type=address(urls.WEBSOCKET),
        metavar="URL",
        help="the server's WebSocket address, in place of --tcp",
    )
    parser.add_argument(
        "--client-id", metavar="ID", help="the name of this device; made up at the first login"
    )
    parser.add_argument(
        "--invitation",
        default="",
        metavar="CODE",
        help="the code of an invitation, where new users need one",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        default=default_folder(),
        help="the folder for your login and your position in the inbox (%(default)s)",
    )
    return parser


async def _main(args: argparse.Namespace, screen: Console) -> None:
    with screen.guard():
        number = (
            args.number or (COMPANY if args.company else "") or (await screen.ask("Your number: ")).strip()
        )
        try:
            with State(args.state, number, args.http) as state:
                await _session(args, number, state, screen)
        except InUse:
            raise Failure(
                f"{number} is open in another terminal already. Give this one its own state: --state DIR"
            ) from None
        except OSError as error:
            raise Failure(f"The state folder {args.state} cannot be used: {error}") from error


async def _session(args: argparse.Namespace, number: str, state: State, screen: Console) -> None:
    """Log in if necessary, connect, and chat until the user leaves."""
    if state.credentials is not None and args.client_id not in (None, state.credentials.client_id):
        state.forget()
    if state.credentials is not None:
        try:
            await _chat(args, state, state.credentials, screen)
        except ConnectRefused:
            screen.say("The saved login is not valid any more; logging in again.")
            state.forget()
        else:
            return
    log_in = _login_company(args, screen) if args.company else _login(args, number, screen)
    credentials = await log_in
    state.credentials = credentials
    state.save(Position())
    try:
        await _chat(args, state, credentials, screen)
    except ConnectRefused as error:
        state.forget()
        raise Failure(f"The server does not let you in: {error}.") from error


async def _login(args: argparse.Namespace, number: str, screen: Console) -> Credentials:
    client_id = args.client_id or f"terminal-{secrets.token_hex(8)}"

    async def enter(code: str) -> Credentials:
        return await login(args.http, number, code, client_id, invitation=args.invitation)

    try:
        if args.code is not None:
            return await enter(args.code)
        await send_code(args.http, number, invitation=args.invitation)
        for _ in range(CODE_ATTEMPTS - 1):
            try:
                return await enter(await _ask_code(number, screen))
            except LoginError as error:
                if error.code != LoginCode.WRONG_CODE:
                    raise
                screen.say("That code is wrong; try again.")
        return await enter(await _ask_code(number, screen))
    except Disconnected as error:
        raise Failure(f"{_sentence(str(error))}\nIs the server running? --http says where it is.") from error
    except ClientError as error:
        raise Failure(f"The login failed: {error}.") from error


async def _login_company(args: argparse.Namespace, screen: Console) -> Credentials:
    """Let the user allow the login in a browser, and wait for that."""
    client_id = args.client_id or f"terminal-{secrets.token_hex(8)}"
    loop = asyncio.get_running_loop()
    try:
        begun = await begin_company_login(args.http)
        screen.say(f"Open {begun.whole_address or begun.address} in a browser, on any machine.")
        screen.say(
            f"Go on there only if it shows the code {begun.user_code}, or enter it. Waiting ...", strong=True
        )
        until = loop.time() + begun.seconds
        while loop.time() < until:
            await asyncio.sleep(begun.interval)
            found = await company_login(args.http, begun, client_id, invitation=args.invitation)
            if found is not None:
                return found
    except Disconnected as error:
        raise Failure(f"{_sentence(str(error))}\nIs the server running? --http says where it is.") from error
    except InvalidReply as error:
        raise Failure("The server has no logins with company accounts.") from error
    except ClientError as error:
        raise Failure(f"The login failed: {error}.") from error
    raise Failure("The login failed: nobody allowed it in time.")


async def _ask_code(number: str, screen: Console) -> str:
    return re.sub(r"\s", "", await screen.ask(f"The code sent to {number}: "))


async def _chat(args: argparse.Namespace, state: State, credentials: Credentials, screen: Console) -> None:
    """Connect and chat until the user leaves. Raises ConnectRefused if the credentials are not accepted."""
    server = args.ws or args.tcp
    where = {"ws": args.ws} if args.ws else {"tcp": args.tcp}
    try:
        options = replace(OPTIONS, tls=ssl.create_default_context()) if args.tls else OPTIONS
        client = Client(credentials, position=state.position, options=options, **where)
        await client.connect()
    except ValueError as error:
        raise Failure(_sentence(str(error))) from error
    except Disconnected as error:
        hint = "Is the server running? --tcp or --ws says where it is"
        hint += "." if args.ws or args.tls else ", --tls that it speaks TLS."
        raise Failure(f"{_sentence(str(error))}\n{hint}") from error
    chat = Chat(client, server, screen, state.groups)
    try:
        await _converse(client, chat, state, screen)
    except ConnectRefused as error:
        raise Failure(f"You were logged out: {error}.") from error
    except ClientError as error:
        raise Failure(f"The chat ended: {error}.") from error
    finally:
        await client.close()
        state.save(client.position, chat.known_groups)


async def _converse(client: Client, chat: Chat, state: State, screen: Console) -> None:
    async def typed() -> None:
        async for line in screen.lines(chat):
            try:
                await chat.on_line(line)
            except Quit:
                break
        await chat.finish()

    async def messages() -> None:
        async for message in client.messages():
            await chat.on_message(message)
            if client.position != state.position:
                state.save(client.position, chat.known_groups)

    async def events() -> None:
        async for event in client.events():
            await chat.on_event(event)

    await chat.start()
    tasks = [asyncio.ensure_future(work) for work in (typed(), messages(), events())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


def _sentence(text: str) -> str:
    word = text.partition(" ")[0]
    return (text[:1].upper() + text[1:] if word.isalpha() else text) + "."  # no address begins with a capital
