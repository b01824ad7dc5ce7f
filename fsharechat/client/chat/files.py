"""Commands about pictures and files: sending them, and saving received ones."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from fsharechat.client.chat.command import Command
from fsharechat.client.chat.lines import file_name
from fsharechat.client.chat.messages import sent
from fsharechat.client.chat.talk import Talk
from fsharechat.client.chat.words import CommandRefused, plain, size, split, unquoted
from fsharechat.client.errors import ClientError
from fsharechat.client.thumbnail import NotAPicture
from fsharechat.client.transfer import Progress
from fsharechat.protocol import messages_pb2 as pb

MAX_SAVED = 4 << 30

Upload = Callable[..., Awaitable[pb.MessageContent]]
"""`Media.file`, or another one that uploads."""


async def _send_file(talk: Talk, rest: str) -> None:
    await _send(talk, rest, talk.client.media.file, "/send-file PATH")


async def _send_image(talk: Talk, rest: str) -> None:
    await _send(talk, rest, talk.client.media.image, "/send-image PATH")


async def _send(talk: Talk, rest: str, upload: Upload, usage: str) -> None:
    conversation = talk.opened()
    if not rest:
        raise CommandRefused(f"Say which: {usage}")
    path = _path(unquoted(rest))
    if not await asyncio.to_thread(path.is_file):
        raise CommandRefused(f"There is no file {path}.")
    await talk.room_for_one()
    talk.spawn(_send_one(talk, conversation, path, upload))


async def _send_one(talk: Talk, conversation: pb.Conversation, path: Path, upload: Upload) -> None:
    try:
        content = await upload(path, on_progress=progress_of(talk, path.name))
        receipt = await talk.client.send(conversation, content)
    except NotAPicture:
        talk.say(f"! {path.name} cannot be read as a picture; /send-file sends it as a file.")
    except (ClientError, OSError) as error:
        talk.say(f"! Not sent: {path.name}: {plain(error)}")
    else:
        sent(talk, conversation, content, receipt)
    finally:
        _done(talk, path.name)


async def _save(talk: Talk, rest: str) -> None:
    number, *where = split(rest) or [""]
    if not number.isdecimal() or len(where) > 1:
        raise CommandRefused(
            "Say which and where to: /save NUMBER [PATH], with the number that the message shows"
        )
    message = talk.lines.media(int(number))
    if message is None:
        raise CommandRefused(
            f"No file or picture {number} was shown; /history shows those of this conversation."
        )
    path = await asyncio.to_thread(_target, _path(where[0] if where else ""), message)
    await talk.room_for_one()
    talk.spawn(_save_one(talk, message, path))


async def _save_one(talk: Talk, message: pb.Message, path: Path) -> None:
    address = message.content.remote_media_url
    try:
        count = await talk.client.media.download(
            address, path, max_bytes=MAX_SAVED, on_progress=progress_of(talk, path.name)
        )
    except (ClientError, OSError) as error:
        talk.say(f"! Not saved: {path}: {plain(error)}")
    else:
        talk.say(f"-- saved {path}, {size(count)} --")
    finally:
        _done(talk, path.name)


def _path(entered: str) -> Path:
    """Return the path that was entered, where ~ is the user's folder."""
    return Path(os.path.expanduser(entered))


def _target(given: Path, message: pb.Message) -> Path:
    """Return where to save: the given path, or a new name in the given folder. No other file is replaced."""
    if not given.is_dir():
        return given
    wanted = given / file_name(message)
    free = wanted
    count = 1
    while free.exists():
        count += 1
        free = wanted.with_stem(f"{wanted.stem} ({count})")
    return free


def progress_of(talk: Talk, name: str) -> Progress:
    """Return a function that shows the progress of a transfer in the prompt."""

    def progress(done: int, total: int) -> None:
        percent = done * 100 // total if total else 0
        if talk.transfers.get(name) != percent:
            talk.transfers[name] = percent
            talk.screen.refresh()

    return progress


def _done(talk: Talk, name: str) -> None:
    talk.transfers.pop(name, None)
    talk.screen.refresh()


COMMANDS = [
    Command("send-file", "PATH", "send a file", _send_file, paths=True),
    Command("send-image", "PATH", "send a picture, with a thumbnail", _send_image, paths=True),
    Command("save", "NUMBER [PATH]", "download the file or picture with this number", _save),
]
