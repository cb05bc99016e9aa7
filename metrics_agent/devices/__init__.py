"""Which devices there are, when each was heard from, and which of them are overdue; pure.

`book` is the one place that knows the devices of a module, `rhythm` learns how often a device
sends, `listening` is the clock that stops while the agent cannot hear, and `stored` writes and
reads what outlives the process.
"""
