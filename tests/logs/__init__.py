"""Tests of metrics_agent.logs."""
