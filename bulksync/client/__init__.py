"""One attempt, one wire request: puts a row and says what came back, never raising for the row's sake."""

from bulksync.client.connection import Put, connect
from bulksync.client.key import read_key

__all__ = ["Put", "connect", "read_key"]
