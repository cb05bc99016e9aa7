"""The output: encoded lines into a bounded queue, and from there to fd 1, a file or a socket.

`sink.Sink` is what the agent sees, `target.make_output` what it writes to, `Batch` what goes in.
Nothing else in the program writes to fd 1. What the outputs over HTTP and to a broker have in
common is pure: `lines` takes data apart, `pace` says when lines leave, and `search` finds the
lines for which a whole request was rejected.
"""
