"""The types of settings. Times are in seconds, sizes in bytes."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode


def _not_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _words(value: object) -> object:
    """Split `a,b`, the form of lists in flags and variables."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def existing_file(value: str) -> str:
    """Return the path. Raises ValueError if there is no such file."""
    if value and not Path(value).is_file():
        raise ValueError("must be the path of a PEM file; there is no such file")
    return value


def _web_address(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", value):
        raise ValueError("must be https://host or https://host:port (http:// for tests)")
    return value


Whole = Annotated[int, BeforeValidator(_not_bool)]
Number = Annotated[float, BeforeValidator(_not_bool)]
Port = Annotated[Whole, Field(ge=0, le=65535)]
Count = Annotated[Whole, Field(ge=1, le=1_000_000_000)]
Seconds = Annotated[Number, Field(gt=0, le=31_536_000)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
Host = Annotated[str, Field(min_length=1)]
Secret = Annotated[str, Field(repr=False)]
PemFile = Annotated[str, AfterValidator(existing_file)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
