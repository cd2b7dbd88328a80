"""Tests of `bulksync.text`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.text import clean, counted, spell


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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.5, "9.5s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.7, "1m00s"),
        (60, "1m00s"),
        (750, "12m30s"),
        (3599.6, "1h00m"),
        (3600, "1h00m"),
        (99_999, "27h46m"),
    ],
)
def test_spell(seconds: float, text: str) -> None:
    """A duration is written with the two units that matter."""
    assert spell(seconds) == text


@given(st.floats(0, 10**7))
def test_spell_never_shows_sixty(seconds: float) -> None:
    """No rounding leads to 60 seconds or 60 minutes."""
    assert "60" not in spell(seconds).split("h")[-1]


def test_a_number_with_its_noun() -> None:
    """One has the noun alone, all else its plural, thousands apart."""
    said = [counted(count, "row") for count in (0, 1, 2, 1_234)]
    assert said == ["0 rows", "1 row", "2 rows", "1,234 rows"]
    assert [counted(count, "retry", "retries") for count in (1, 2)] == ["1 retry", "2 retries"]
