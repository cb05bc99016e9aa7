"""The status page: a small web server that shows the snapshot, for browsers and monitoring.

Loaded only where `[status] listen` is set.
"""
