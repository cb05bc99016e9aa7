"""What an agent and those who ask it agree on."""

from __future__ import annotations

from typing import Final

__all__ = ["SOCKET"]

SOCKET: Final = "status.sock"
"""The name of the socket in the state directory."""
