"""OpenSSL is loaded when it is needed, not because it is installed.

Twisted's reactor and endpoints load it wherever they find it: 13 MB and a tenth of a second for an
agent that speaks plain MQTT to a broker in the next room. `transports.tls` is the one place that
needs it, and takes the block away.
"""

from __future__ import annotations

import sys
from typing import Any, cast

__all__ = ["allow_openssl", "leave_out_openssl"]

_NAME = "OpenSSL"


def leave_out_openssl() -> None:
    """Have an import of it fail, as if it were not installed; before the reactor is imported."""
    modules = cast("dict[str, Any]", sys.modules)
    # Loaded already, there is nothing to save.
    modules.setdefault(_NAME, None)


def allow_openssl() -> None:
    """Let it be imported from now on; harmless when it may already."""
    modules = cast("dict[str, Any]", sys.modules)
    if modules.get(_NAME, sys) is None:
        del modules[_NAME]
        _tell_endpoints()


def _tell_endpoints() -> None:
    """Put right what Twisted's endpoints have concluded from not finding it."""
    endpoints = cast("Any", sys.modules.get("twisted.internet.endpoints"))
    if endpoints is None or endpoints.TLSMemoryBIOFactory is not None:
        return
    try:
        from twisted.protocols.tls import TLSMemoryBIOFactory
    except ImportError:
        return  # it is really not installed
    endpoints.TLSMemoryBIOFactory = TLSMemoryBIOFactory
