"""Carries rows to their outcome, and keeps those of one execution in order.

dispatcher   a row's way: admitted, carried through its attempts, settled
order        which row may go in: file order within an execution
turns        which row may start: a place, with which it gets its connection, then a turn to write
tries        the attempts at one row, and what they make of it
standing     whose fault a bad answer is: the row's, the access's, the server's
health       what the replies ask of everyone: to wait, to go one at a time, to stop
"""

from bulksync.dispatcher.dispatcher import Dispatcher, Elsewhere, Tell
from bulksync.dispatcher.order import Feed

__all__ = ["Dispatcher", "Elsewhere", "Feed", "Tell"]
