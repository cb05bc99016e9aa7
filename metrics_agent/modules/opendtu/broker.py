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
_LONGEST_S: Final = 3.0
"""A burst that does not end is taken as it is after this time."""
_ONLINE: Final = {b"online": True, b"offline": False}


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
        self._due: IDelayedCall | None = None
        self._begun_s = 0.0
        self._received_ns = 0

    def start(self) -> None:
        """Subscribe."""
        broker = self._settings.connection_settings()
        for shape in ("+/+", "+/+/+"):
            self._context.subscribe(
                broker,
                f"{self._settings.prefix}{shape}",
                self._on_message,
                qos=self._settings.qos,
            )

    def stop(self) -> None:
        """Give out what has been gathered."""
        if self._due is not None:
            if self._due.active():
                self._due.cancel()
            self._give_out()

    def _on_message(self, message: Message) -> Iterable[Metric]:
        if self._gathering.is_availability(message.topic):
            return self._availability(message)
        if message.retain and not self._gathering.is_name(message.topic):
            # Stored at the broker, perhaps since yesterday.
            self._context.drop("retained")
            return ()
        if self._gathering.add(message.topic, message.payload):
            self._received_ns = message.received_ns
            self._wait()
        return ()

    def _availability(self, message: Message) -> Iterable[Metric]:
        online = _ONLINE.get(message.payload)
        if online is None:
            if message.payload:
                self._points.drop(DTU, "unknown_state", "status")
            return ()
        series = self._points.naming.part(DEVICE.name, DTU)
        return (Metric(series, {DEVICE.key("online"): online}, message.received_ns),)

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
        burst = self._gathering.take(received_ns / 1e9)
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
