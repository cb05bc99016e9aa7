"""The `output` setting: stdout, a path, or a Twisted endpoint description."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from metrics_agent.errors import OutputError
from metrics_agent.output.descriptor import descriptor_writer
from metrics_agent.output.writer import MakeWriter

__all__ = ["STDOUT", "make_output"]

STDOUT = "stdout"

_ENDPOINT = re.compile(r"[a-z][a-z0-9]*:")


def make_output(reactor: Any, setting: str, take_stdout: Callable[[], int]) -> MakeWriter:
    """Turn the setting into what the sink calls at start; connects and opens nothing yet.

    Args:
        reactor: the reactor.
        setting: ``stdout``; ``tcp:host:port``, ``unix:path=...`` or another client endpoint; all
            else is a path (one that looks like an endpoint can be written with ``./`` first).
        take_stdout: gives the private descriptor of fd 1; called only for ``stdout``.

    Raises:
        OutputError: the setting is empty or not a right endpoint description.
    """
    if not setting:
        raise OutputError("output is empty, expected stdout, a path, or tcp:host:port")
    if setting == STDOUT:
        return lambda source: descriptor_writer(reactor, take_stdout(), source)
    if setting.endswith(":"):
        raise OutputError(f"output {setting!r}: nothing follows the colon, expected tcp:host:port")
    if _ENDPOINT.match(setting):
        return _endpoint_output(reactor, setting)

    from metrics_agent.output.path import PathWriter

    return lambda source: PathWriter(reactor, setting, source)


def _endpoint_output(reactor: Any, setting: str) -> MakeWriter:
    # Endpoints bring in much that a writer to stdout never needs.
    from twisted.internet.endpoints import clientFromString

    from metrics_agent.output.endpoint import EndpointWriter

    try:
        endpoint = clientFromString(reactor, setting)  # type: ignore[no-untyped-call]  # Twisted's is
    except Exception as error:  # plugins raise what they like: ValueError, TypeError, KeyError
        raise OutputError(
            f"output {setting!r} is not an endpoint that can be used ({error}), "
            "expected for example tcp:localhost:8094 or unix:path=/run/telegraf.sock"
        ) from error
    return lambda source: EndpointWriter(reactor, endpoint, setting, source)
