"""Tests of how a running agent is asked."""
