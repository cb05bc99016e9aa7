"""Notices that devices announce themselves and no telemetry comes.

A broker grants a subscription that it never serves: where the rules let a login read the
announcements and not ``tele/#``, mosquitto answers as if all were well; some brokers grant
``$share`` and do not know it. The agent would be running, with devices and without metrics.

The state that devices leave at the broker (LWT) proves the rights at once. Where none is delivered,
as to a shared subscription, the first telemetry has to come within two TelePeriods. The time counts
from the latest of the announcements that are delivered upon a subscription: a broker that was away
in between is not the devices' silence. Where others send, a device of which nothing at all came
in that time is named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metrics_agent.interfaces import ModuleContext
from metrics_agent.limits import TASMOTA_DEVICES
from metrics_agent.modules.tasmota.config import TasmotaSettings
from metrics_agent.modules.tasmota.registry import Registry

__all__ = ["Silence"]

_MOST_NAMED: Final = 20


class Silence:
    """Warns once, and says when telemetry comes after all.

    Args:
        settings: of the module.
        context: the door to the agent.
        registry: of the devices.
    """

    def __init__(
        self, settings: TasmotaSettings, context: ModuleContext, registry: Registry
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._broker = settings.connection_settings()
        self._context = context
        self._since_s: float | None = None
        self._is_set = False
        self._over = not settings.no_telemetry_after
        # By their addresses' hashes: bounded as the registry is, so long as it forgets none.
        self._named: set[int] = set()
        self._warned = False

    def announced(self, *, retained: bool) -> None:
        """Note an announcement of a device that does not sleep most of the time.

        Args:
            retained: it was delivered because we have subscribed.
        """
        if self._warned or not self._settings.no_telemetry_after:
            return
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
        if self._since_s is None:
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
        if self._over:
            self._since_s = None
            self._name(self._registry.unheard())
            return
        self._warned = True
        group = self._settings.shared_group
        shared = f"it does not serve the subscription $share/{group}/...; " if group else ""
        self._context.log.warn(
            "{count} Tasmota devices have announced themselves at {broker}, and none has sent "
            "telemetry for {seconds:g} s. Likely causes: the broker's rules (ACL) do not let this "
            "login read tele/#; {shared}the devices are off, or their TelePeriod is 0 or longer "
            "than half of no_telemetry_after.",
            count=self._registry.announced,
            broker=" or ".join(map(str, self._settings.brokers)),
            seconds=seconds,
            shared=shared,
        )

    def _name(self, unheard: Iterable[tuple[str, str]]) -> None:
        """Name each device once of which nothing came."""
        new = {mac: topic for mac, topic in unheard if hash(mac) not in self._named}
        if not new:
            return
        room = TASMOTA_DEVICES - len(self._named)
        self._named.update(map(hash, list(new)[:room]))
        named = ", ".join(list(new.values())[:_MOST_NAMED])
        self._context.log.warn(
            "{count} Tasmota devices have announced themselves and sent nothing since, not even "
            "their last will, while others did: {named}{more}. Likely causes: they are gone and "
            "their announcement is still at the broker; the broker's rules (ACL) do not let this "
            "login read their topics.",
            count=len(new),
            named=named,
            more=" ..." if len(new) > _MOST_NAMED else "",
        )
