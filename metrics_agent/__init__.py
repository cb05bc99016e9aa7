"""metrics-agent: supervised collectors in one Twisted process, line protocol on stdout."""

from metrics_agent._version import __version__

__all__ = ["__version__"]
