"""Parse and write JSON more strictly than the standard library: what is sent is exactly what was written.

Rejects duplicate names, NaN and infinities, lone surrogates, and excessive nesting or numbers (RFC 8259, sections 4, 6,
8.2 and 9, lets a parser set such limits). Numbers keep all their digits, even where a double would not.
"""

import json
import math
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import orjson

from bulksync.reader.record import Flaw
from bulksync.text import clean

_SIMPLE = frozenset({str, int, bool, type(None)})


class _Refused(ValueError):  # noqa: N818 - it never leaves this module
    """Carries a flaw out of the decoder's callbacks."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.detail)
        self.flaw = flaw


def parse(text: str, levels: int) -> Any:
    """Return the value in *text*, or a Flaw; *levels* limits how deeply objects and arrays may be nested."""
    if (value := _simple(text)) is not None:
        return value
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            dumps(value)  # JSONEncodeError: a lone surrogate
    except _Refused as refused:
        return refused.flaw
    except json.JSONDecodeError as error:
        return Flaw("json_malformed", f"not valid JSON at character {error.pos + 1}: {_reason(error)}")
    except orjson.JSONEncodeError:
        return Flaw("json_malformed", "a \\u escape is half a character (a lone surrogate)")
    except RecursionError:
        return _too_deep(levels)
    except ValueError:  # Python's limit of 4,300 digits
        return Flaw("json_malformed", "a number has too many digits")
    if text.count("{") + text.count("[") > levels and _is_deeper(value, levels):
        return _too_deep(levels)
    return value


def kind_of(value: object) -> str:
    """Describe a value that should have been an object, and how to turn it into one."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        return "text that holds JSON, not an object: it was encoded twice; in jq: .metadata |= fromjson"
    if isinstance(value, list) and value and all(isinstance(one, dict) and "key" in one for one in value):
        return "an array of keys and values, not an object; in jq: .metadata |= from_entries"
    kinds = {str: "text", list: "an array", bool: "true or false"}
    return f'{kinds.get(type(value), "a number")}, not an object: {{"name": "value"}}'


def is_cut(text: str) -> bool:
    """Return whether *text* is valid JSON as far as it goes but ends too early."""
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip())
    except (ValueError, RecursionError):
        return False
    return False


def after(text: str) -> str:
    """Return what follows the first JSON value in *text*; empty if nothing does or there is no value."""
    with suppress(ValueError, RecursionError):
        return text[_DECODER.raw_decode(text)[1] :].strip()
    return ""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that fits neither a double nor 64 bits, kept as the *digits* it was written with."""

    digits: str


def dumps(value: object) -> bytes:
    """Return compact UTF-8 JSON; numbers are kept as they were written."""
    return orjson.dumps(value, default=_as_written, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def as_written(text: str) -> Any:
    """Return the value of valid JSON *text*, with numbers that `dumps` writes back unchanged."""
    return _WRITTEN.decode(text)


def _simple(text: str) -> dict[str, Any] | None:
    """Return the object in *text* if it is simple: strings without escapes, integers, no duplicate names.

    Most objects are. This takes half the time of the decoder, which was a fifth of reading a row (measured).
    Without escapes every name and string has exactly two quotes, so that extra quotes reveal a duplicate name.
    """
    if "\\" in text or "[" in text or text.count("{") > 1:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict):
        return None
    kinds = [type(member) for member in value.values()]
    is_sound = _SIMPLE.issuperset(kinds) and text.count('"') == 2 * (len(kinds) + kinds.count(str))
    return value if is_sound else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        times = Counter(name for name, _ in pairs)
        twice = next(name for name in members if times[name] > 1)
        raise _Refused(Flaw("duplicate_member", f"the name '{clean(twice, 60)}' is given twice"))
    return members


def _as_written(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.digits)
    raise TypeError


def _real(digits: str) -> float | Number:
    number = float(digits)
    if math.isinf(number):
        raise _Refused(Flaw("json_malformed", "a number is too large"))
    return number if Decimal(repr(number)) == Decimal(digits) else Number(digits)


def _whole(digits: str) -> int | Number:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else Number(digits)


def _no_constant(name: str) -> NoReturn:
    raise _Refused(Flaw("json_malformed", f"{name} is not valid JSON; write null, or leave the name out"))


_FOUND = (
    (re.compile(r"//|/\*|#"), "a comment; JSON has none, so remove it"),
    (re.compile(r"'"), "a single quote, as Python's str() writes it; JSON takes double quotes, as json.dumps() writes"),
    (re.compile(r"[\u2018\u2019\u201c\u201d]"), "a curly quote; JSON takes straight ones"),
    (re.compile(r"\\[\"']"), "a backslash before a quote; the whole text was escaped once more than JSON is"),
    (re.compile(r"(?:None|True|False)\b"), "a word of Python; JSON has null, true and false, as json.dumps() writes"),
    (
        re.compile(r"(?:NULL|nil|undefined|\\N)(?!\w)"),
        "a word for no value; JSON has null, and an empty cell is left out",
    ),
    (re.compile(r"\ufeff"), "U+FEFF (byte order mark); were files put together? remove it"),
    (re.compile(r"\x1e"), "U+001E (record separator); remove it: tr -d '\\036'"),
    (re.compile(r",\s*$"), "a comma after the object; remove it"),
    (re.compile(r"[}\]]"), "a comma before it that separates nothing, or something left out"),
    (re.compile(r"[A-Za-z_$][\w$]*\s*:"), "a name without quotes"),
)
"""Text found where JSON parsing fails: a pattern for its start, and what it is in the terms of its author."""

_REASONS = {
    "Extra data": "something follows the end; write one object per line",
    "Expecting property name enclosed in double quotes": "a name in double quotes should stand here",
    "Expecting ':' delimiter": "a colon should stand here",
    "Expecting ',' delimiter": 'a comma should stand here; a quote inside text is written \\"',
    "Unterminated string starting at": "the text that begins here has no closing quote",
    "Invalid control character at": "a control character inside text, written \\n, \\t or \\u00…",
    "Illegal trailing comma before end of object": "a comma that separates nothing",
    "Illegal trailing comma before end of array": "a comma that separates nothing",
}


def _reason(error: json.JSONDecodeError) -> str:
    """Explain in our own words why a text is not valid JSON."""
    found = error.doc[error.pos :]
    if not found.strip():
        return "it ends too early"
    if error.msg.startswith("Unterminated"):
        return _REASONS[error.msg]
    named = (name for pattern, name in _FOUND if pattern.match(found))
    if error.msg == "Extra data" and found.startswith(("{", "[")):
        return "a second value on the same line; write one object per line"
    if error.msg.startswith("Invalid \\"):
        return "an escape that JSON does not have; write a backslash twice"
    return next(named, _REASONS.get(error.msg, "no value of JSON stands here"))


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_real, parse_int=_whole, parse_constant=_no_constant)

_WRITTEN = json.JSONDecoder(parse_float=orjson.Fragment, parse_int=orjson.Fragment)


def _too_deep(levels: int) -> Flaw:
    return Flaw("json_malformed", f"objects and arrays are nested more than {levels} deep")


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        inner = (child for node in layer for child in (node.values() if isinstance(node, dict) else node))
        layer = [child for child in inner if isinstance(child, dict | list)]
    return bool(layer)
