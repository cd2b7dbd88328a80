"""Sends the planned rows and brings each to an outcome, or stops early.

For the report, the console and the commands.

plan         a new run or a resumed one, and which of its rows are due
send         wiring: due rows to the dispatcher, outcomes to the ledger, and the ways to stop
dispatcher   the life of a row: admitted, carried through its attempts, settled
feed         the due rows of a run, in file order or sampled from the whole input
order        which row may be admitted: file order within an execution
turns        which row may start: a place (with a connection) first, then a turn to write
attempts     the attempts at one row, and the result they add up to
retry        what a reply means: an outcome, another attempt, or a stop
standing     who is at fault for a bad answer: the row, the access, or the server
health       what the replies mean for all requests: pause, go one at a time, or stop
signals      the first drains, the second cancels, the third exits at once
tally        counters kept while a run sends
clock        the clocks and the source of randomness used by all of these
"""
