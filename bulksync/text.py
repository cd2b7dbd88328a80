"""Text for people: words that others wrote, made safe to print, and how numbers and durations are written.

A terminal or a report obeys nothing that stands in what others wrote.
"""

import re

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor moves (ECMA-48 section 5.4)
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC, DCS and their like, with their text
    r"|\x1b[ -/]*[0-~]?",  # the short ones
    re.DOTALL,
)


def clean(text: str, limit: int = 200) -> str:
    """*text* on one line of at most *limit* characters: no control, ANSI, bidi or format characters, single spaces."""
    text = text[: limit * 20]  # far more than is shown, and no long work for an endless text
    if not text.isprintable():
        text = "".join(_shown(character) for character in _ESCAPES.sub("", text))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ""


def spell(seconds: float) -> str:
    """Write a duration for people: 9.5s, 12m30s, 27h46m."""
    if round(seconds) < 60:
        return f"{seconds:.1f}s" if round(seconds, 1) < 10 else f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
