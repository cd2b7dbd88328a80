"""Everything written to stderr or drawn on a terminal. For `cli` and the commands."""
