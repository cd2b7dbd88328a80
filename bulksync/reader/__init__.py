"""Reads the input: every row becomes a `Row` to send or an `InvalidRow` that says why not, and none gets lost.

A file passes `locating` (read how), `source` (which file), `decoding` (bytes to text), `lines` (text to physical
lines), `header` and `delimited` or `jsonl` (lines to cells) and `validation` (cells to a row). What cannot be read as
it was said to be is named by `signatures` (first bytes) and `shapes` (text), and refused by `remedy`, with the command
that makes rows of it. For the sender and everything above it.
"""
