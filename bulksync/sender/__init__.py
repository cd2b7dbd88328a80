"""A row's way from the plan to its outcome, and what may stop it on the way.

For the report, the console and the commands.

plan         new run or continued one, and which of its rows are due
send         the due rows into the dispatcher, outcomes into the ledger, and the ways to stop
dispatcher   a row's way: admitted, carried through its attempts, settled
feed         the due rows of a run, in file order or from all over the input
order        which row may go in: file order within an execution
turns        which row may start: a place, with which it gets its connection, then a turn to write
attempts     the attempts at one row, and what they make of it
retry        what a reply means: an outcome, another attempt, a stop
standing     whose fault a bad answer is: the row's, the access's, the server's
health       what the replies ask of everyone: to wait, to go one at a time, to stop
signals      the first drains, the second cancels, the third exits at once
tally        what is counted while a run sends
clock        the clocks and the chance that all of these go by
"""
