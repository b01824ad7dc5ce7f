"""The commands of `fsharechat admin` on all that is stored about one user."""

import re
from argparse import Namespace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import orjson

from fsharechat.admin.commands import CommandOutput, Usage
from fsharechat.admin.office import AdminApi, OfficeError

_PIECE_BYTES = 1 << 20


async def export_user(office: AdminApi, args: Namespace) -> CommandOutput:
    """Write what is stored about a user into a folder that is empty or new: a file of JSON lines for each part, and
    the user's own files below `media`.
    """
    folder: Path = args.folder
    _make(folder)
    counts: dict[str, int] = {}
    missing: list[str] = []
    files: dict[str, str] = {}
    async with aiohttp.ClientSession() as http:
        async for page in office.pages(
            "admin", "users", args.user, "export", query={"after": ""}, whole=True
        ):
            part = page["part"]
            counts[part] = counts.get(part, 0) + len(page["rows"])
            addresses = [address for row in page["rows"] for address in row.get("media", ())]
            for address in addresses:
                if address not in files:
                    files[address] = await _download(http, address, folder, len(files)) or ""
                    if not files[address]:
                        missing.append(address)
            _append(folder / f"{part}.jsonl", page["rows"])
    kept = {address: name for address, name in files.items() if name}
    (folder / "media.json").write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))
    result = {"rows": counts, "files": len(kept), "missing": missing}
    text = ", ".join(f"{count} of {part}" for part, count in counts.items())
    gone = f"; {len(missing)} files are gone" if missing else ""
    return CommandOutput(result, f"{folder}: {text}; {len(kept)} files{gone}")


def _make(folder: Path) -> None:
    """Raises Usage."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Usage(f"{folder} is not empty: name another folder")
    except OSError as error:
        raise Usage(f"{folder}: {error.strerror}") from error


def _append(file: Path, rows: list[object]) -> None:
    with file.open("ab") as lines:
        for row in rows:
            lines.write(orjson.dumps(row) + b"\n")


async def _download(http: aiohttp.ClientSession, address: str, folder: Path, number: int) -> str | None:
    """Return the name of the file below the folder, None if the server has it no more."""
    media = folder / "media"
    media.mkdir(exist_ok=True)
    plain = re.sub(r"[^\w.-]+", "_", urlsplit(address).path.rpartition("/")[2])[-100:].lstrip(".")
    target = media / f"{number:06}-{plain}"
    try:
        async with http.get(address) as answer:
            if answer.status in (403, 404):
                return None
            answer.raise_for_status()
            with target.open("wb") as file:
                async for piece in answer.content.iter_chunked(_PIECE_BYTES):
                    file.write(piece)
    except aiohttp.ClientError as error:
        raise OfficeError(f"{address}: {error}") from error
    return target.relative_to(folder).as_posix()


async def delete_user(office: AdminApi, args: Namespace) -> CommandOutput:
    """Delete a user for good, step by step."""
    if not args.yes:
        raise Usage("this cannot be undone: the user's name, texts and files are gone for good. Add --yes")
    user, after = args.user, ""
    while True:
        done = await office.ask("DELETE", "admin", "users", user, query={"after": after})
        user, after = done["uid"], done["next"]  # the number is gone with the first step
        if not after:
            return CommandOutput(done, f"{user} was deleted")
