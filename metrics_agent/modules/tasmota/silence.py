"""Notices that devices announce themselves and no telemetry comes.

A broker grants a subscription that it never serves: where the rules let a login read the
announcements and not ``tele/#``, mosquitto answers as if all were well; some brokers grant
``$share`` and do not know it. The agent would be running, with devices and without metrics.

The state that devices leave at the broker (LWT) proves the rights at once. Where none is delivered,
as to a shared subscription, the first telemetry has to come within two TelePeriods. The time counts
from the latest of the announcements that are delivered upon a subscription: a broker that was away
in between is none of the devices' silence.
"""

from __future__ import annotations

from metrics_agent.interfaces import ModuleContext
from metrics_agent.modules.tasmota.config import TasmotaSettings

__all__ = ["Silence"]


class Silence:
    """Warns once, and says when telemetry comes after all.

    Args:
        settings: of the module.
        context: the door to the agent.
    """

    def __init__(self, settings: TasmotaSettings, context: ModuleContext) -> None:
        self._settings = settings
        self._broker = settings.connection_settings()
        self._context = context
        self._since_s: float | None = None
        self._is_set = False
        self._devices = 0
        self._over = not settings.no_telemetry_after
        self._warned = False

    def announced(self, devices: int, *, retained: bool) -> None:
        """Note an announcement of a device that does not sleep most of the time.

        Args:
            devices: that are known.
            retained: it was delivered because we have subscribed.
        """
        if self._over or self._warned:
            return
        self._devices = devices
        if retained or self._since_s is None:
            self._since_s = self._context.reactor.seconds()
        self._set(self._settings.no_telemetry_after)

    def heard(self) -> None:
        """Note telemetry."""
        self._over = True
        if self._warned:
            self._warned = False
            self._context.log.info("Telemetry of Tasmota devices is coming in now.")

    def _set(self, delay_s: float) -> None:
        if not self._is_set:
            self._is_set = True
            self._context.later(delay_s, self._look, place="look_around")

    def _look(self) -> None:
        self._is_set = False
        if self._over or self._since_s is None:
            return
        if not self._context.is_connected(self._broker):
            # Announcements come again with the connection.
            self._since_s = None
            return
        seconds = self._settings.no_telemetry_after
        rest_s = self._since_s + seconds - self._context.reactor.seconds()
        if rest_s > 0:
            self._set(rest_s)
            return
        self._warned = True
        group = self._settings.shared_group
        shared = f"it does not serve the subscription $share/{group}/...; " if group else ""
        self._context.log.warn(
            "{count} Tasmota devices have announced themselves at {broker}, and none has sent "
            "telemetry for {seconds:g} s. Likely causes: the broker's rules (ACL) do not let this "
            "login read tele/#; {shared}the devices are off, or their TelePeriod is 0 or longer "
            "than half of no_telemetry_after.",
            count=self._devices,
            broker=" or ".join(map(str, self._settings.brokers)),
            seconds=seconds,
            shared=shared,
        )
