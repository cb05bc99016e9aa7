"""Benchmarks of the agent and of its peers, side by side; see README.md."""
