"""The handlers of a module's MQTT messages, each wrapped once: the path of every message."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

from twisted.logger import Logger

from metrics_agent.devices.book import DeviceBook
from metrics_agent.errors import MetricRefused, PayloadError
from metrics_agent.interfaces import Handler, Message
from metrics_agent.metric import Metric
from metrics_agent.supervision.counters import Counters
from metrics_agent.supervision.guard import Guard
from metrics_agent.transports.mqtt.topics import Deliver

__all__ = ["MessageHandlers"]


class MessageHandlers:
    """Wraps the handlers of one module.

    Args:
        encode: see `line_protocol.Encoder.encode`.
        refused: called with a metric that is refused, see `Emitter.refused`.
        guard: contains the faults of handlers.
        counters: of the module.
        devices: of the module.
        log: stamps the module on its lines.
    """

    def __init__(
        self,
        *,
        encode: Callable[[Metric], bytes],
        refused: Callable[[MetricRefused, Metric], object],
        guard: Guard,
        counters: Counters,
        devices: DeviceBook,
        log: Logger,
    ) -> None:
        self._encode = encode
        self._refused = refused
        self._guard = guard
        self._counters = counters
        self._devices = devices
        self._log = log
        self._known: WeakValueDictionary[tuple[Handler, str], Deliver] = WeakValueDictionary()

    def deliverer(self, handler: Handler, place: str) -> Deliver:
        """Return the wrapper of a handler, the same for all its subscriptions.

        By that the table knows that it is one receiver, which gets a message once.
        """
        key = (handler, place)
        try:
            known = self._known.get(key)
        except TypeError:  # not hashable
            return self._wrap(handler, place)
        if known is None:
            known = self._known[key] = self._wrap(handler, place)
        return known

    def _wrap(self, handler: Handler, place: str) -> Deliver:
        """Wrap a handler: this is the path of every message, so it holds all in local names."""
        encode = self._encode
        counters = self._counters
        refused = self._refused
        devices = self._devices
        find = devices.find
        keep = devices.keep if devices.keeps_lines else None

        def deliver(message: Message, lines: list[bytes]) -> None:
            before = len(lines)
            heard_ns = message.received_ns
            counters.messages += 1
            try:
                for metric in handler(message):
                    try:
                        line = encode(metric)
                        lines.append(line)
                        # What `DeviceBook.note` does.
                        series = metric[0]
                        device = series._device  # noqa: SLF001 - the book's note on the series
                        if device is None or device.book is not devices:
                            device = find(metric)
                        device.heard_ns = heard_ns
                        if keep is not None:
                            kept = series._kept  # noqa: SLF001 - as above
                            if kept is not None and len(line) <= kept.room:
                                kept.line = line
                            else:
                                keep(device, series, line)
                    except MetricRefused as refusal:  # noqa: PERF203 - the others go on
                        refused(refusal, metric)
            except BaseException as error:
                # A message counts as a whole: half of what it says may be misleading.
                del lines[before:]
                self._message_fault(place, message, error)
            else:
                counters.metrics += len(lines) - before

        return deliver

    def _message_fault(self, place: str, message: Message, error: BaseException) -> None:
        reason = getattr(error, "reason", None)
        if not isinstance(error, PayloadError) or not isinstance(reason, str):
            self._guard.caught(place, error, detail=message.topic)
            return
        self._counters.drop(reason)
        self._log.warn(
            "A message on {topic!r} was dropped: {error}",
            topic=message.topic,
            error=error,
            reason=reason,
            fold=("topic", "reason"),
        )
