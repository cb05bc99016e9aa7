"""Where things are in the checkout."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
DEPLOY = CHECKOUT / "deploy"
DOCS = CHECKOUT / "docs"
SAMPLE = CHECKOUT / "metrics_agent" / "config" / "sample.toml"
