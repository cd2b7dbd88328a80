"""One module per command, of the same name; each reads as the command's table of contents. For `cli` alone."""
