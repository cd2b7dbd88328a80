"""Everything said on stderr or drawn on a terminal. For `cli` and the commands."""
