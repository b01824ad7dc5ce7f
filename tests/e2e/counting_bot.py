"""A bot as a process of its own, for tests that kill it: it writes down each text that it has handled.

python counting_bot.py STATE_FOLDER HANDLED_FILE NUMBER HTTP tcp|ws ADDRESS
"""

import asyncio
import sys
from pathlib import Path

from fsharechat.client import Client, Options, State, login
from fsharechat.protocol import messages_pb2 as pb

WORK_SECONDS = 0.003


async def main(state: State, handled: Path, number: str, http: str, transport: str, address: str) -> None:
    if state.credentials is None:
        state.credentials = await login(http, number, "66666", client_id="bot")
        state.save(state.position)

    async def handle(message: pb.Message) -> None:
        await asyncio.sleep(WORK_SECONDS)
        file.write(message.content.searchable_content[:6] + "\n")
        file.flush()

    client = Client(
        state.credentials,
        tcp=address if transport == "tcp" else None,
        ws=address if transport == "ws" else None,
        position=state.position,
        on_message=handle,
        on_position=state.save,
        options=Options.fast(),
    )
    with handled.open("a") as file:
        async with client:
            print("connected", flush=True)
            await client.wait_closed()


if __name__ == "__main__":
    folder, handled, number, *server = sys.argv[1:]
    with State(Path(folder), number, server[0]) as kept:
        asyncio.run(main(kept, Path(handled), number, *server))
