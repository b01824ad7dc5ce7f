"""What is remembered of connections that broke inside a frame."""

import pytest

from roles.connector import deaf
from roles.connector.deaf import DEAF_SECONDS, Breaks

PHONE = ("anna", "phone")


def test_a_device_is_deaf_when_it_comes_twice_in_time() -> None:
    breaks = Breaks()
    breaks.broke(PHONE, 100, 0.0, back=False)
    assert breaks.connected(("anna", "tablet"), 1.0) is None
    first = breaks.connected(PHONE, 3.0)
    assert first is not None
    assert first.connects == 1
    second = breaks.connected(PHONE, DEAF_SECONDS)
    assert second is first
    assert (second.connects, second.missing) == (2, 100)


def test_a_device_that_is_back_has_come_once() -> None:
    breaks = Breaks()
    breaks.broke(PHONE, 100, 0.0, back=True)
    known = breaks.connected(PHONE, 1.0)
    assert known is not None
    assert known.connects == 2


def test_a_break_while_it_may_be_deaf_leaves_it_deaf() -> None:
    breaks = Breaks()
    breaks.broke(PHONE, 100, 0.0, back=False)
    breaks.connected(PHONE, 1.0)
    breaks.broke(PHONE, 10, 2.0, back=False)
    known = breaks.connected(PHONE, 3.0)
    assert known is not None
    assert (known.connects, known.missing) == (2, 100)


def test_what_is_long_ago_is_forgotten() -> None:
    breaks = Breaks()
    breaks.broke(PHONE, 100, 0.0, back=False)
    breaks.broke(("ben", "phone"), 100, 1.0, back=False)
    breaks.forget_old(DEAF_SECONDS + 0.5)
    assert len(breaks) == 1
    assert breaks.connected(("ben", "phone"), DEAF_SECONDS + 1.5) is None
    assert len(breaks) == 0


def test_a_device_that_hears_is_no_longer_known() -> None:
    breaks = Breaks()
    breaks.broke(PHONE, 100, 0.0, back=False)
    known = breaks.connected(PHONE, 1.0)
    assert known is not None
    breaks.hears(known)
    breaks.hears(known)
    assert breaks.connected(PHONE, 2.0) is None


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaf, "MOST", 2)
    breaks = Breaks()
    for n in range(3):
        breaks.broke(("anna", str(n)), 100, 0.0, back=False)
    assert len(breaks) == 2
    assert breaks.connected(("anna", "0"), 0.0) is None
