"""The exit codes and the progress lines of scripts/services and scripts/cluster."""

import signal
import sys
from collections.abc import Callable

from .errors import ServicesError, Unavailable

EXIT_FAILED = 1
EXIT_UNAVAILABLE = 3


def exit_code_of(program: str, work: Callable[[], int]) -> int:
    """Do the work of a command, and return its exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return work()
    except Unavailable as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except ServicesError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 130


def say(text: str) -> None:
    sys.stderr.write(f"-- {text}\n")  # one write: several threads print at the same time
