"""The output: encoded lines into a bounded queue, and from there to fd 1, a file or a socket.

`sink.Sink` is what the agent sees, `target.make_output` what it writes to, `Batch` what goes in.
Nothing else in the program writes to fd 1.
"""
