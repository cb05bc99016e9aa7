"""Tests of metrics_agent.state."""
