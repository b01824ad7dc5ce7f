"""docs/reference-*.md: what the code logs, publishes and can be told is there, each with a sentence."""

import ast

from fsharechat.settings import key_paths
from fsharechat.settings_schema import Settings
from tools import reference

TEXTS = reference.read_texts("en")


def test_each_event_and_each_metric_has_a_sentence() -> None:
    assert reference.problems(TEXTS) == []
    assert len(TEXTS.events) > 100


def test_the_pages_are_up_to_date() -> None:
    """After a change: scripts/reference."""
    for name, page in reference.pages(TEXTS).items():
        assert (reference.DOCS / name).read_text() == page, f"{name} is old: run scripts/reference"


def test_every_setting_is_in_the_table_with_a_comment() -> None:
    found = reference.find_settings()
    assert {tuple(f"{one.section}.{one.key}".split(".")) for one in found} == set(key_paths(Settings))
    assert [one for one in found if not one.comment] == []


def test_an_event_that_is_no_text_is_a_fault() -> None:
    tree = ast.parse("log.info(name)\nlog.warning(KNOWN)\nself._log.exception('a text', key=1)")
    calls = list(reference._log_calls(tree))
    known = {"KNOWN": "another"}
    assert [(reference._text(call, known), level) for call, level in calls] == [
        (None, "info"),
        ("another", "warning"),
        ("a text", "error"),
    ]
