"""What the demo needs beside the package itself."""

from __future__ import annotations

from importlib.util import find_spec

from metrics_agent.errors import MissingDependency, how_to_install

__all__ = ["check_requirements", "missing_broker"]


def missing_broker(reason: object = None) -> MissingDependency:
    """Make the error that says what to install for the demo's broker."""
    detail = f" ({reason})" if reason else ""
    return MissingDependency(
        f"the demo's MQTT broker needs the package amqtt, which is not installed{detail}: "
        f"{how_to_install('demo')}"
    )


def check_requirements() -> None:
    """See whether the demo can run, without importing what it needs.

    Raises:
        MissingDependency: amqtt is not installed.
    """
    if find_spec("amqtt") is None:
        raise missing_broker()
