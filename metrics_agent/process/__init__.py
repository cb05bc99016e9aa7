"""The contract with the parent process: descriptors, signals, stdin, exit code.

Nothing here imports the reactor, and `descriptors` and `signals` import little else: they run
before anything slow is loaded.
"""
