"""What may be shown of a server's answer: its words without our secrets. Pure.

Servers have been seen quoting what they refuse, and a line of a log goes further than its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

from metrics_agent.config.secret import Secret

__all__ = ["shown"]

_MASK: Final = "***"
_SHOWN: Final = 80
_SHORT: Final = 6
"""A secret below this is not masked: the letters missing from a sentence would reveal it."""


def shown(text: str, secrets: Iterable[Secret], limit: int = _SHOWN) -> str:
    """Return what a log may say of a foreign text; empty if that is nothing.

    Args:
        text: of a server.
        secrets: known where it came from; a token of the form ``user|rest`` is two of them, since
            the rest cannot be guessed.
        limit: how many characters at most.
    """
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    long = [re.escape(form) for form in forms if len(form) >= _SHORT]
    if long:
        # Masked before it is cut: half a secret would not be found.
        text = re.sub("|".join(long), _MASK, text, flags=re.IGNORECASE)
    lowered = text.lower()
    if any(form.lower() in lowered for form in forms if len(form) < _SHORT):
        return ""
    return text[:limit]


def _forms(secret: Secret) -> Iterator[str]:
    """Give a secret and its parts, also as they stand in the form that was sent."""
    whole = secret.reveal()
    for part in (whole, *whole.split("|")[1:]):
        if part:
            yield part
            yield quote(part, safe="", errors="replace")
            yield quote_plus(part, errors="replace")
