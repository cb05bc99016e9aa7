"""The version, in this one place; setup.py and `metrics-agent --version` read it."""

__version__ = "0.1.0"
