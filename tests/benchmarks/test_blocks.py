"""The documents have a place for what the benchmarks write into them."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.describe import update

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = {"robustness.md": ("leaks", "soak"), "performance.md": ("figures", "pace")}


class BlockTests(SynchronousTestCase):
    """After an hour of measuring is too late to find out."""

    def test_blocks(self) -> None:
        for name, blocks in BLOCKS.items():
            text = (DOCS / name).read_text("utf-8")
            for block in blocks:
                self.assertIn("|\n", update(text, block, "| a |"), block)
