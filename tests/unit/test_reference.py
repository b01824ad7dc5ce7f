"""docs/reference-*.md, in English and Chinese: a sentence for each event, metric and setting of the code."""

import ast
from dataclasses import replace

import pytest

from fsharechat.settings import key_paths
from fsharechat.settings_schema import Settings
from tools import reference

TEXTS = {language: reference.read_texts(language) for language in reference.PAGES}
languages = pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)


@languages
def test_each_event_metric_and_setting_has_a_sentence(texts: reference.Texts) -> None:
    assert reference.problems(texts) == []
    assert len(texts.events) > 100
    assert all(texts.events.values())


@languages
def test_the_pages_are_up_to_date(texts: reference.Texts) -> None:
    """After a change: scripts/reference."""
    for path, page in reference.pages(texts).items():
        assert path.read_text() == page, f"{path} is old: run scripts/reference"


def test_what_is_missing_and_what_is_gone_is_named() -> None:
    settings = {key: text for key, text in TEXTS["zh"].settings.items() if key != "node.id"}
    faulty = replace(TEXTS["zh"], settings=settings | {"node.gone": "-"})
    assert reference.problems(faulty) == [
        "texts.zh.toml: the setting 'node.id' has no text",
        "texts.zh.toml: the setting 'node.gone' is not in the code any more",
    ]


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
