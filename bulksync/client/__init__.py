"""One attempt, one wire request: sends a row and says what came back, never raising for the row's sake.

For the sender and the commands.
"""
