"""How a running agent is, for whoever asks it: over a Unix socket, see `socket`.

`snapshot` makes plain values of what `supervision.reports` sees, under the names of
docs/metrics.md; everything that shows the state shows these.
"""
