"""What a person reads: one observer that writes every event to stderr and never blocks.

An event travels ``read_event`` (level, module, text) -> ``Folder`` (equal faults are told once)
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
