"""Attacks on a real agent process: by a device, by whoever may publish, by a broker, by a server.

Every attack is measured: the longest gap of two modules that emit every 10 ms beside it, compared
with a timer in another process at the same time; how far the resident memory rose at its highest;
whether a device's message that is sent afterwards arrives. See `case.HostileCase.attack`.

A test run takes the short form of each. ``python -m tests.hostile --all`` takes the long one: each
text field with each pattern, and attacks that last for a minute.
"""
