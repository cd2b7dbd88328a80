"""The program as a user runs it, against servers that misbehave."""
