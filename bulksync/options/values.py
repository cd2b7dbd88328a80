"""Parse durations, sizes, rates and lists as people write them, and format them the same way."""

import math
import re
from collections.abc import Mapping
from typing import Annotated

from cyclopts import Parameter
from pydantic import BeforeValidator, Field

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: object) -> object:
    """Parse `30s`, `15m`, `2h` or `500ms` as seconds. Raises ValueError otherwise; numbers pass through."""
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value.strip(), re.ASCII):
        unit = 0.001 if match[2] == "ms" else UNITS[match[2]]
        return float(match[1]) * unit
    raise ValueError(f"{value!r} is not a duration: write 30s, 15m or 2h")


def show_duration(seconds: object) -> str:
    """Format seconds the way `parse_duration` reads them, in the largest unit that gives a whole number."""
    if not isinstance(seconds, int | float):
        return "none"
    unit = next((unit for unit in ("h", "m") if seconds >= UNITS[unit] and seconds % UNITS[unit] == 0), "s")
    return f"{seconds / UNITS[unit]:.12g}{unit}"


def parse_size(value: object) -> object:
    """Parse `4MiB`, `512KiB`, `10MB` or `1000000` as bytes. Raises ValueError otherwise; numbers pass through."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMG])(I?)B|B)?", value.strip().upper(), re.ASCII)
    if match and (match[2] or "." not in match[1]):
        return int(float(match[1]) * (1024 if match[3] else 1000) ** (" KMG".index(match[2] or " ")))
    raise ValueError(f"{value!r} is not a size: write 4MiB, 512KiB, 10MB or a number of bytes")


def show_size(size: object) -> str:
    """Format bytes the way `parse_size` reads them, in the largest unit that gives a whole number."""
    if not isinstance(size, int):
        return "none"
    units = [("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("GB", 10**9), ("MB", 10**6), ("KB", 1000)]
    unit, factor = next(((unit, factor) for unit, factor in units if size and size % factor == 0), ("", 1))
    return f"{size // factor}{unit}"


def parse_rate(value: object) -> object:
    """Parse `10/s`, `600/m`, `unlimited` or a bare number as requests per second (infinity for `unlimited`).

    Raises ValueError for anything else, and for a rate at which no request would ever start.
    """
    if isinstance(value, str) and value.strip() == "unlimited":
        return math.inf
    number = not isinstance(value, bool) and re.fullmatch(r"(\d+(?:\.\d+)?)(?:/(s|m|h))?", str(value).strip(), re.ASCII)
    if number and float(number[1]) > 0:
        return float(number[1]) / UNITS[number[2] or "s"]
    if isinstance(value, float) and value > 0:  # infinity, and numbers that Python formats with an exponent
        return value
    raise ValueError(f"{value!r} is not a rate: write 10/s, 600/m or unlimited")


def show_rate(rate: object) -> str:
    """Format requests per second the way `parse_rate` reads them."""
    if not isinstance(rate, int | float) or math.isinf(rate):
        return "unlimited"
    unit = next((unit for unit in ("s", "m") if rate * UNITS[unit] >= 1), "h")
    return f"{rate * UNITS[unit]:.12g}/{unit}"


def parse_failures(value: object) -> object:
    """Check that a failure budget has the form `N` or `P%`. Raises ValueError otherwise."""
    text = str(value).strip() if isinstance(value, int | str) else ""
    if re.fullmatch(r"\d+|\d+(?:\.\d+)?%", text, re.ASCII):
        return text
    raise ValueError(f"{value!r} is not a number of rows: write 50 or 10%")


def parse_statuses(value: object) -> object:
    """Parse `A,B`, given once or several times, as a tuple. Raises ValueError if a status has invalid characters."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    words = tuple(word.strip() for text in texts for word in str(text).split(",") if word.strip())
    if wrong := next((word for word in words if not word.isascii()), None):
        raise ValueError(f"{wrong!a} is not a status: write COMPLETED,FAILED")
    return words


def parse_pairs(value: object) -> object:
    """Check that each text has the form `NAME=VALUE`; a dict is accepted too. Raises ValueError otherwise."""
    if isinstance(value, Mapping):
        value = [f"{name}={text}" for name, text in value.items()]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    if wrong := next((text for text in texts if "=" not in str(text)), None):
        raise ValueError(f"{wrong!r} has no =: write status=COMPLETED, or metadata.firstName=Vorname")
    return tuple(map(str, texts))


def split_pairs(_: object, text: str, *, delimiter: str | None = None) -> list[str]:
    """Split a variable's `A=B,C=D` at the commas that are followed by a name and `=`."""
    return re.split(r",(?=[^,=]*=)", text)


Duration = Annotated[
    float, BeforeValidator(parse_duration), Field(ge=0), Parameter(show_default=show_duration, metavar="TIME")
]

PositiveDuration = Annotated[Duration, Field(gt=0)]

Size = Annotated[
    int, BeforeValidator(parse_size), Field(ge=1, le=2**30), Parameter(show_default=show_size, metavar="SIZE")
]

Rate = Annotated[float, BeforeValidator(parse_rate), Field(gt=0), Parameter(show_default=show_rate, metavar="RATE")]

Pairs = Annotated[
    tuple[str, ...],
    BeforeValidator(parse_pairs),
    Parameter(negative="", consume_multiple=False, env_var_split=split_pairs, show_default=False),
]

Flag = Annotated[bool, Parameter(negative="", show_default=False)]
