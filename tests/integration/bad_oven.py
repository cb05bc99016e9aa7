"""A module whose import fails."""

from __future__ import annotations

raise ImportError("no module named oven")
