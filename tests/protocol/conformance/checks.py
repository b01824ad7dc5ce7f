"""Comparisons that say what they compared, with and without pytest."""


class Skip(Exception):
    """A row cannot be tried on this server: the reason is the text."""


def same(got: object, wanted: object, what: str = "") -> None:
    """Fail unless two values are equal."""
    if got != wanted:
        raise AssertionError(f"{what or 'got'}: {got!r}, not {wanted!r}")
