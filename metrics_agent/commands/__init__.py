"""The commands behind `metrics-agent`, one a file; `cli` imports the one that is asked for."""
