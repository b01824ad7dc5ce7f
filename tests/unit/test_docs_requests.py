"""docs/requests.md is what the table of requests says."""

from pathlib import Path

from fsharechat.protocol.page import page


def test_the_page_is_up_to_date() -> None:
    written = (Path(__file__).parents[2] / "docs" / "requests.md").read_text()
    assert written == page(), "scripts/requests writes it anew"
