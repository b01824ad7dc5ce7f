"""What the command lines share: wrong flags end with one line, and addresses are looked at first."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from fsharechat.urls import AddressForm, UrlError

WRONG_USE = 2
"""The exit code after wrong flags or settings."""


class CommandParser(argparse.ArgumentParser):
    """A parser that says in one line what is wrong, and where the help is. The help is that of argparse."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}; see {self.prog} --help\n")


def address(form: AddressForm) -> Callable[[str], str]:
    """Return the `type` of a flag that takes the address of a server."""

    def read(text: str) -> str:
        try:
            return form.check(text)
        except UrlError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read
