"""Read the input: every row becomes a `Row` to send or an `InvalidRow` with its reason, and none is lost.

A file passes through `locating` (how to read it), `source` (which file), `decoding` (bytes to text), `lines` (text to
physical lines), `header` and `delimited` or `jsonl` (lines to cells), and `validation` (cells to a row). An input that
is not in the format it claims is identified by `signatures` (first bytes) and `shapes` (text), and refused by `remedy`
with a command that converts it. For the sender and everything above it.
"""
