"""The broker as a source: what a DTU publishes by MQTT."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from metrics_agent.catalogue import DEVICE
from metrics_agent.interfaces import Message, ModuleContext
from metrics_agent.metric import Metric
from metrics_agent.modules.opendtu.config import OpenDtuMqttSettings
from metrics_agent.modules.opendtu.points import DtuPoints
from metrics_agent.modules.opendtu.topics import DTU, Gathering

__all__ = ["BrokerSource"]

_QUIET_S: Final = 0.5
"""A burst has ended when nothing has come for so long."""
_LONGEST_ADDRESS: Final = 64
_TURNS: Final = 3
"""So often in a row one of two addresses follows the other: it is not a new one of the same DTU."""
_LONGEST_S: Final = 3.0
"""A burst that does not end is taken as it is after this time."""


class BrokerSource:
    """Gathers the messages of a DTU.

    Args:
        settings: of the broker, and where the DTU publishes.
        context: the door to the agent.
        points: where readings go.
    """

    def __init__(
        self, settings: OpenDtuMqttSettings, context: ModuleContext, points: DtuPoints
    ) -> None:
        self._settings = settings
        self._context = context
        self._points = points
        self._gathering = Gathering(settings.prefix, points.drop)
        self._availability_topic = f"{settings.prefix}{settings.availability_topic}"
        self._online = {
            settings.availability_online.encode(): True,
            settings.availability_offline.encode(): False,
        }
        self._addresses = _Addresses()
        self._due: IDelayedCall | None = None
        self._begun_s = 0.0
        self._received_ns = 0

    def start(self) -> None:
        """Subscribe."""
        broker = self._settings.connection_settings()
        for each in self._settings.filters:
            self._context.subscribe(broker, each, self._on_message, qos=self._settings.qos)

    def stop(self) -> None:
        """Give out what has been gathered."""
        if self._due is not None:
            if self._due.active():
                self._due.cancel()
            self._give_out()

    def _on_message(self, message: Message) -> Iterable[Metric]:
        if message.topic == self._availability_topic:
            return self._availability(message)
        if message.retain and not self._gathering.is_name(message.topic):
            # Stored at the broker, perhaps since yesterday.
            self._context.drop("retained")
            return ()
        if message.topic == f"{self._settings.prefix}{DTU}/ip":
            self._compare_address(message.payload)
            return ()
        if self._gathering.add(message.topic, message.payload):
            self._received_ns = message.received_ns
            self._wait()
        return ()

    def _availability(self, message: Message) -> Iterable[Metric]:
        online = self._online.get(message.payload)
        if online is None:
            if message.payload:
                self._points.drop(DTU, "unknown_state", "status")
            return ()
        if online:
            self._points.tracker.restart()
        series = self._points.naming.part(DEVICE.name, DTU)
        return (Metric(series, {DEVICE.key("online"): online}, message.received_ns),)

    def _compare_address(self, payload: bytes) -> None:
        text = payload[:_LONGEST_ADDRESS].decode("ascii", "replace")
        other = self._addresses.heard(text)
        if other:
            self._context.log.warn(
                "Two DTUs publish below {prefix}, {one!r} and {other!r}: their totals and their "
                "own values are mixed. Set another base topic in one of them, and configure an "
                "instance of this module for it.",
                prefix=self._settings.prefix,
                one=other,
                other=text,
            )

    def _wait(self) -> None:
        now_s = self._context.reactor.seconds()
        if self._due is None:
            self._begun_s = now_s
            self._due = self._context.later(_QUIET_S, self._give_out, place="burst")
        elif self._due.active():
            rest_s = self._begun_s + _LONGEST_S - now_s
            self._due.reset(max(0.0, min(_QUIET_S, rest_s)))

    def _give_out(self) -> None:
        self._due = None
        received_ns = self._received_ns
        burst = self._gathering.take(received_ns)
        tracker = self._points.tracker
        metrics = [
            metric
            for inverter in burst.inverters
            for metric in tracker.inverter(inverter, received_ns)
        ]
        if burst.total is not None:
            metrics += tracker.total(burst.total, received_ns, complete=True)
        for part in burst.parts:
            metrics += tracker.part(part, received_ns)
        if burst.chip:
            series = self._points.naming.part(DEVICE.name, DTU)
            metrics.append(Metric(series, dict(sorted(burst.chip.items())), received_ns))
        self._points.emit(metrics)


class _Addresses:
    """Notices addresses that take turns: each DTU publishes its own."""

    def __init__(self) -> None:
        self._last = ""
        self._before = ""
        self._turns = 0

    def heard(self, address: str) -> str:
        """Return the other address, once, if there are two of them; else nothing."""
        if address == self._last:
            return ""
        self._turns = self._turns + 1 if address == self._before else 0
        self._before, self._last = self._last, address
        return self._before if self._turns == _TURNS else ""
