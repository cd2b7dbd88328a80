"""Words that others wrote, made safe to print: a terminal or a report obeys nothing that stands in them."""

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
