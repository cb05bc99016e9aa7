"""Where things are in the checkout."""

from __future__ import annotations

from pathlib import Path

import metrics_agent

CHECKOUT = Path(__file__).parent.parent.parent
PACKAGE = Path(metrics_agent.__file__).parent
"""Of what is tested: the installed wheel or the checkout."""
DEPLOY = CHECKOUT / "deploy"
DOCS = CHECKOUT / "docs"
