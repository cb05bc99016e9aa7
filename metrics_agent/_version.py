"""The version and its date, in this one place; setup.py and `metrics-agent --version` read it."""

__version__ = "0.1.0"

RELEASED = "2026-11-24"
"""The day of the release, UTC; until there is one, the day on which work on it began.

Set it together with ``__version__``. A clock that says less is not set, see `point_clock`; so an
early day does no harm, and one in the future makes every clock a wrong one (a test forbids it).
"""
