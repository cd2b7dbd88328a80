"""Distinguish a cell with a line break from one that swallowed the following rows for lack of a closing quote."""

import re

_ID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"


def has_swallowed(cell: str, delimiter: str, columns: int) -> bool:
    """Return whether a line of *cell*, other than the first, looks like a row of a table with this many *columns*.

    It does if it has an ID as a cell, or as many delimiters as a row. Delimiters followed by a space do not count:
    they are the commas of a sentence.
    """
    _, *lines = re.split(r"\r\n?|\n", cell)
    apart = re.escape(delimiter)
    id_alone = re.compile(rf'(?:^|{apart})\s*"?[{{(]?{_ID}[)}}]?"?\s*(?:{apart}|$)')
    tight = re.compile(rf"{apart}(?! )")
    return any(id_alone.search(line) or columns == len(tight.findall(line)) + 1 for line in lines)
