"""The log: one observer that writes every event to stderr and never blocks.

An event travels ``read_event`` (level, module, text) -> ``Folder`` (equal faults are logged once)
-> ``RateLimit`` -> ``render`` (the reader's format) -> ``BoundedWriter`` -> ``Descriptor`` (fd 2).
"""

__all__ = [
    "burst",
    "capture",
    "descriptor",
    "events",
    "folding",
    "levels",
    "logger",
    "observer",
    "rate",
    "rendering",
    "writer",
]
