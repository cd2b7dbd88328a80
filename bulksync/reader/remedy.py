"""Refuse an input as a whole, with the exact command that converts it into rows."""

import re
from pathlib import Path

from bulksync.errors import InputError
from bulksync.reader.source import Source
from bulksync.text import quoted

_PIPED = re.compile(r"([^:]+: )(.+?)( < FILE| FILE)(.*) > NEW")
_ON_STDIN = {"tar -xOf": "tar -xOf -", "unzip -p": "funzip"}
"""How to call the programs that do not read stdin by default."""

_OURS = {".csv", ".tsv", ".jsonl", ".ndjson"}
_COMPRESSED = {".gz", ".bz2", ".xz", ".zst", ".lz4", ".lz", ".z", ".7z", ".zip", ".rar", ".tar", ".tgz", ".gpg", ".asc"}


def refused(source: Source, what: str, way: str, *, suffix: str = "") -> InputError:
    """Return the error that says *what* a source is, after its name, and how to convert it into rows.

    In *way*, FILE stands for the source and NEW for a file that does not exist yet; *suffix* is the new file's
    extension if its format differs.
    """
    return InputError(f"{source.name}{what}", way_on(source, way, suffix))


def asks_for(source: Source, what: str, option: str, value: str) -> InputError:
    """Return the error that says *what* a source is, after its name, and which option reads it."""
    return InputError(f"{source.name}{what}", f"add {option} {quoted(value)}", adding=(option, value))


def way_on(source: Source, way: str, suffix: str = "") -> str:
    """Return *way* with the file names filled in; as a pipe if the source is compressed or comes from one."""
    if (piped := _PIPED.fullmatch(way)) and (source.compressed or source.name == "stdin"):
        filters = _ON_STDIN.get(piped[2], piped[2]) + piped[4]
        if source.name == "stdin":
            return f"pipe it through: {filters}"
        way = f"{piped[1]}gzip -dc < FILE | {filters} > NEW"
    names = {"FILE": source.name, "NEW": str(_free_name(Path(source.name), suffix))}
    return re.sub(r"\bFILE\b|\bNEW\b", lambda found: quoted(names[found[0]]), way)


def _free_name(path: Path, suffix: str) -> Path:
    """Return an unused name next to *path*, so that following a message's advice never overwrites a file."""
    base = path
    while base.suffix.lower() in _COMPRESSED:
        base = base.with_suffix("")
    base = base.with_suffix(suffix or (base.suffix if base.suffix.lower() in _OURS else ".csv"))
    names = (base.with_stem(f"{base.stem}{number}" if number > 1 else base.stem) for number in range(1, 1_000))
    return next((name for name in names if name != path and not name.exists()), path.with_suffix(".new"))
