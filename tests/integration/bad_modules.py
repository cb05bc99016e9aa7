"""The modules that the configurations in ``tests/config/bad`` name, as entry points."""

from __future__ import annotations

from tests.config.kinds import kinds

__all__ = ["ACCOUNT", "PLAIN"]

PLAIN = kinds("plain")
ACCOUNT = kinds("account")
