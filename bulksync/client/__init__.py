"""One attempt, one wire request: puts a row and says what came back, never raising for the row's sake."""

from bulksync.client.connection import connect
from bulksync.client.key import checked_key, read_key

__all__ = ["checked_key", "connect", "read_key"]
