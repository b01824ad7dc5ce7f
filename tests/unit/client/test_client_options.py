"""Options say what they take, to type checkers and at once when they are wrong."""

from dataclasses import replace
from typing import Any, get_type_hints

import pytest

from fsharechat.client import Options
from fsharechat.client.media import Media


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("message_queue", 0, ValueError),  # nothing would ever come
        ("message_queue", 1.5, TypeError),
        ("request_timeout", "10", TypeError),
        ("request_timeout", 0.0, ValueError),
        ("send_timeout", float("nan"), ValueError),
        ("ping_interval", -1, ValueError),
        ("reconnect", 1, TypeError),
        ("send_limit", -1, ValueError),
        ("send_limit_seconds", 0, ValueError),
        ("max_request", 0, ValueError),
        ("max_frame", True, TypeError),
    ],
)
def test_what_no_client_could_work_with_is_told_at_once(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        replace(Options(), **{name: value})


def test_whole_numbers_are_times_too() -> None:
    assert Options(request_timeout=5, backoff_first=0, send_limit=0).request_timeout == 5


@pytest.mark.parametrize("method", [Media.send_image, Media.send_file, Media.send_voice, Media.send_video])
def test_type_checkers_know_the_options_of_uploads(method: Any) -> None:
    assert get_type_hints(method)["options"] is not Any
