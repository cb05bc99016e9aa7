"""The fault matrix: what is broken on purpose, where, and what must happen; docs/robustness.md."""
