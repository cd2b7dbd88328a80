"""Text for people: makes untrusted text safe to print, and formats numbers and durations.

Nothing in untrusted text can control a terminal or a report, and no password is shown.
"""

import json
import os
import re
import shlex
import unicodedata
from collections.abc import Mapping

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor moves (ECMA-48 section 5.4)
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC, DCS and similar, with their text
    r"|\x1b[ -/]*[0-~]?",  # short sequences
    re.DOTALL,
)

_USERINFO = re.compile(r"""([a-z][a-z0-9+.-]*:/+)(?:([^\s/?#:@"]*:)[^\s"]*|[^\s/?#:@"]*)@""", re.IGNORECASE)
_WORD_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*:/+)(?:([^/?#:@]*:).*|[^/?#:@]*)@", re.IGNORECASE | re.DOTALL)
"""User and password of a URL (RFC 3986 section 3.2.1).

The first pattern is for a text, where whitespace ends the URL, the second for a single word, where it does not. A
password that should have been percent-encoded extends to the last `@`; one slash is what pathlib makes of two.
"""


_MEMBER = re.compile(r'[\s,]*(?P<name>"(?:[^"\\]|\\.)*")\s*:\s*')
"""The name of an object's next member, up to its value."""

_DECODER = json.JSONDecoder()


def clean(text: str, limit: int = 200) -> str:
    """Return *text* on one line of at most *limit* characters: single spaces, no ANSI, bidi or other controls."""
    text = text[: limit * 20]  # far more than is shown, yet a bound on the work for very long text
    if not text.isprintable():
        text = "".join(_shown(character) for character in _ESCAPES.sub("", text))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ""


def character_name(character: str) -> str:
    """Name a character that is invisible or easily confused with another: U+200B (zero width space)."""
    name = "byte order mark" if character == "\ufeff" else unicodedata.name(character, "a control character")
    return f"U+{ord(character):04X} ({name.lower()})"


def spell(seconds: float) -> str:
    """Format a duration for people: 9.5s, 12m30s, 27h46m."""
    if round(seconds) < 60:
        return f"{seconds:.1f}s" if round(seconds, 1) < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun, in the singular or plural."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def listed(counts: Mapping[str, int]) -> str:
    """Format counts by word."""
    return ", ".join(f"{word} {count:,}" for word, count in counts.items())


def without_passwords(text: str) -> str:
    """Return a text with *** in place of each URL's password, or of its user if there is no password."""
    return _USERINFO.sub(r"\1\2***@", text)


def quoted(word: str) -> str:
    """Quote a word of a command for a shell, on one line of valid UTF-8 and without a URL's password."""
    word = _WORD_USERINFO.sub(r"\1\2***@", word)
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_quoted_byte, os.fsencode(word))) + "'"


def _quoted_byte(byte: int) -> str:
    character = chr(byte)
    plain = byte < 0x80 and character.isprintable() and character not in "'\\"
    return character if plain else f"\\{byte:03o}"


def name_of(path: str | os.PathLike[str]) -> str:
    """Return the name of a file as text, with an escape for each byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def member_in(text: str, name: str) -> str:
    """Return the text of an object's member in valid JSON, verbatim; empty if there is no member *name*.

    Parsing and reserializing would not always reproduce a number exactly.
    """
    found, at = "", _MEMBER.match(text, text.index("{") + 1)
    while at is not None:
        _, end = _DECODER.raw_decode(text, at.end())
        if json.loads(at["name"]) == name:
            found = text[at.end() : end]
        at = _MEMBER.match(text, end)
    return found
