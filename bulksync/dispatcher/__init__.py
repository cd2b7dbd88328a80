"""Carries rows to their outcome, and keeps those of one execution in order.

dispatcher   a row's way: admitted, carried through its attempts, settled
order        which row may go in: file order within an execution
turns        which row may start a request: a free slot, and the pacer's leave
tries        the attempts at one row, and what they make of it
health      what the replies say of the server: outage, hold, or a reason to stop
"""

from bulksync.dispatcher.dispatcher import Dispatcher, Tell
from bulksync.dispatcher.order import Feed

__all__ = ["Dispatcher", "Feed", "Tell"]
