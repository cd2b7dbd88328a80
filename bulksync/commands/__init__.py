"""One module for each command, named as the command is; each reads as its table of contents. For `cli` alone."""
