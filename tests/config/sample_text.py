"""The sample configuration as a user changes it."""

from __future__ import annotations

import re

__all__ = ["uncomment"]


def uncomment(text: str, marks: str = "#") -> str:
    """Take away what is in front of every setting and table that is marked so.

    Args:
        text: of the sample.
        marks: ``#``, or ``##`` for tables that replace a setting.
    """
    return re.sub(rf'(?m)^{marks}(?=[\w\["])', "", text)
