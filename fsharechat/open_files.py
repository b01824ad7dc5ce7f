"""Each connection takes an open file: how many connections a role may have, and what its setting asks for."""

import sys

import structlog

from fsharechat.errors import StartError
from fsharechat.process import HOW_TO_RAISE, LIMITS_FILES, SPARE_FILES, TooFewFiles, raise_open_files
from fsharechat.settings_schema import Settings

log = structlog.get_logger(__name__)


def most_connections(setting: str, asked: int, open_files: int) -> int:
    """Return how many connections a role may have: as many as `setting` asks for, or as open files leave room for.

    If these are fewer, the log says so.
    """
    room = open_files - SPARE_FILES
    if asked <= room:
        return asked
    if LIMITS_FILES:
        log.info(
            "fewer connections than a setting asks for: raise the limit of open files",
            setting=setting,
            asked=asked,
            connections=room,
            open_files=open_files,
            how=HOW_TO_RAISE,
        )
    else:
        log.info(
            "fewer connections than a setting asks for: this system cannot wait for more",
            setting=setting,
            asked=asked,
            connections=room,
        )
    return room


def look(settings: Settings) -> str:
    """Return how many open files a process that is started like this one may have, and what this makes of settings.

    Raises StartError if they are too few.
    """
    try:
        open_files = raise_open_files()
    except TooFewFiles as error:
        raise StartError(str(error)) from error
    allowed = "any number of files" if open_files == sys.maxsize else f"{open_files} files"
    asked = {"connector": settings.connector.max_connections, "api": settings.api.max_connections}
    room = open_files - SPARE_FILES
    less = [
        f"[{role}] max_connections = {count} becomes {room}"
        for role, count in asked.items()
        if role in settings.node.roles and count > room
    ]
    said = f"a process that is started here may open {allowed}"
    return f"{said}, so {' and '.join(less)}: raise the limit ({HOW_TO_RAISE})" if less else said
