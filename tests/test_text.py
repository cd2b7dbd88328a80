"""Tests of `bulksync.text`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.text import clean


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("  two   spaces\tand\r\nlines\u2028more ", "two spaces and lines more"),
        ("\x1b[31;1mred\x1b[0m and \x1b[2Jgone", "red and gone"),
        ("\x1b]0;new title\x07text \x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("a\x1b]52;c;never ended", "a"),
        ("\x1bcreset \x1b(0", "reset"),
        ("bell\x07 null\x00 c1\x9b", "bell null c1"),
        ("user\u202etxt.exe\u2066\u200b\ufeff", "usertxt.exe"),
        ("half \ud800 pair", "half pair"),
        ("Zoë 東京 😀", "Zoë 東京 😀"),
    ],
)
def test_strips_what_a_terminal_would_obey(text: str, shown: str) -> None:
    """Control, ANSI, bidi and format characters go, every run of white space is one space."""
    assert clean(text) == shown


def test_shortens_to_the_limit() -> None:
    """A text over the limit ends in an ellipsis that counts."""
    assert clean("x" * 201) == "x" * 199 + "…"
    assert clean("x" * 200) == "x" * 200
    assert clean("abcdef", 4) == "abc…"


@given(st.text(st.characters()), st.integers(1, 50))
def test_any_text_is_printable_afterwards(text: str, limit: int) -> None:
    """Whatever comes in, what goes out is printable UTF-8 within the limit, and cleaning again changes nothing."""
    shown = clean(text, limit)
    shown.encode()
    assert shown.isprintable()
    assert len(shown) <= limit
    assert clean(shown, limit) == shown
