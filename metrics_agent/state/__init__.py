"""What outlives the process: small files in the state directory, whose faults cost only themselves.

`directory` is what the agent and its modules use, `files` has the system calls, and `owner` sees to
it that root leaves nothing there that the service cannot use.
"""
