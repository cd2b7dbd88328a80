"""Reads the input: every row becomes a `Row` to send or an `InvalidRow` that says why not, and none gets lost.

A file passes `locating` (read how), `source` (which file), `decoding` (bytes to text), `lines` (text to
physical lines), `header` and `delimited` or `jsonl`
(lines to cells) and `validation` (cells to a row). What cannot be read as it was said to be is named by `signatures`
(first bytes) and `shapes` (text), and refused by `remedy`, with the command that makes rows of it.
"""

from bulksync.reader.input import Input, open_input
from bulksync.reader.locating import locate
from bulksync.reader.noting import NO_VALUES
from bulksync.reader.record import Layout, Record
from bulksync.reader.source import Format, Source, fingerprint, spool
from bulksync.reader.validation import KNOWN_STATUSES, meant_status

__all__ = [
    "KNOWN_STATUSES",
    "NO_VALUES",
    "Format",
    "Input",
    "Layout",
    "Record",
    "Source",
    "fingerprint",
    "locate",
    "meant_status",
    "open_input",
    "spool",
]
