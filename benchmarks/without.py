"""Runs the agent without a part, for the row `status` to compare with.

``python -m benchmarks.without lines run -c FILE`` keeps no last lines of devices; ``... devices
run -c FILE`` knows nothing of devices at all: nothing is noted for a line, and nothing is swept.
The agent itself has no such switch, so its classes are changed here, in a process of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from metrics_agent.cli import main
from metrics_agent.devices.book import DeviceBook
from metrics_agent.errors import MetricRefused
from metrics_agent.interfaces import Handler, Message
from metrics_agent.supervision.liveness import Liveness
from metrics_agent.supervision.message_handlers import MessageHandlers
from metrics_agent.transports.mqtt.topics import Deliver

__all__ = ["PARTS", "wrap"]


def _without_lines() -> None:
    kept = Liveness.book

    def book(self: Liveness, name: str) -> DeviceBook:
        found = kept(self, name)
        found.keeps_lines = False
        return found

    Liveness.book = book  # type: ignore[method-assign]


def _without_devices() -> None:
    Liveness.startService = lambda _self: None  # type: ignore[method-assign]
    DeviceBook.expect = lambda *_: None  # type: ignore[assignment,method-assign]
    MessageHandlers._wrap = wrap  # type: ignore[method-assign] # noqa: SLF001 - see above


def wrap(self: MessageHandlers, handler: Handler, place: str) -> Deliver:
    """Do what `MessageHandlers._wrap` does, but note no device."""
    encode = self._encode
    counters = self._counters
    refused = self._refused

    def deliver(message: Message, lines: list[bytes]) -> None:
        before = len(lines)
        counters.messages += 1
        try:
            for metric in handler(message):
                try:
                    lines.append(encode(metric))
                except MetricRefused as refusal:  # noqa: PERF203 - as there
                    refused(refusal, metric)
        except BaseException as error:
            del lines[before:]
            self._message_fault(place, message, error)
        else:
            counters.metrics += len(lines) - before

    return deliver


PARTS: dict[str, Callable[[], None]] = {"lines": _without_lines, "devices": _without_devices}
"""What can be left out, and what does it."""

if __name__ == "__main__":
    PARTS[sys.argv.pop(1)]()
    sys.exit(main())
