"""Tests of the parts of the benchmarks that need no processes."""
