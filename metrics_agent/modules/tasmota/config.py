"""Settings of the module ``tasmota``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from attrs import frozen

from metrics_agent.config import Duration, Fault, setting
from metrics_agent.config.faults import join
from metrics_agent.topic_filters import valid_filter, valid_topic
from metrics_agent.transports.mqtt.settings import MqttSettings

__all__ = ["TasmotaSettings"]


@frozen
class TasmotaSettings(MqttSettings):
    """The broker, and how its Tasmota devices are found and named."""

    friendly_name_overrides: dict[str, str] = setting(
        default={},
        doc=(
            "Names by the device's topic, or by topic and channel counted from 0 "
            '("tasmota_C0FFEE.1"); they win over the names that devices give themselves.'
        ),
        example={"tasmota_C0FFEE": "Boiler"},
    )
    field_names: Literal["standard", "original"] = setting(
        default="standard",
        doc=(
            "original: names, units and tags of electricity as the Go agent wrote them "
            "(sum_power_total in Wh, current in mA, device=<topic>.<channel from 0>)."
        ),
        choices=("standard", "original"),
    )
    discovery_prefix: str = setting(
        default="tasmota/discovery",
        doc="Topic under which devices announce themselves; the firmware's is fixed.",
    )
    topics: tuple[str, ...] = setting(
        default=(),
        doc=(
            "FullTopics of devices that do not announce themselves, such as "
            '"home/%prefix%/%topic%/", or plain filters, such as "garden/+/SENSOR". '
            "%prefix%/%topic%/ is always there."
        ),
        example=["home/%prefix%/%topic%/"],
    )
    request_channel_totals: bool = setting(
        default=True,
        doc=(
            "Ask devices with several channels that send only the sum of their energy for the "
            "counter of each channel, over MQTT, at most once a minute and only when it changed; "
            "below cmnd/ and where a FullTopic in topics has the device's commands."
        ),
    )
    silent_after: Duration = setting(
        default="60s",
        doc="Warn when no device was seen for this time after the start.",
        minimum=1,
        zero="never",
    )
    no_telemetry_after: Duration = setting(
        default="600s",
        doc=(
            "Warn when devices have announced themselves and none has sent telemetry for this "
            "time: twice the devices' TelePeriod, which is 300 s by default."
        ),
        minimum=1,
        zero="never",
    )
    meters: dict[str, dict[str, str]] = setting(
        default={},
        doc=(
            "Fields of smart meters by the name of their object and its keys: a field, with "
            '@ and the phase, and with its unit where that is another: "power@1 kW", '
            '"energy_total Wh". Keys that are not named keep their default meaning.'
        ),
        example={"Strom": {"Wirk": "power", "Stand": "energy_total Wh"}},
    )

    def check(self) -> Iterator[Fault]:
        """Yield what is wrong although each setting alone has the right type."""
        # The decorator makes a new class, which super() without arguments would not find.
        yield from MqttSettings.check(self)
        reason = valid_topic(self.discovery_prefix)
        if reason is not None:
            yield Fault("discovery_prefix", f"{self.discovery_prefix!r}: {reason}", "a topic")
        for index, topic in enumerate(self.topics):
            reason = valid_filter(topic)
            if reason is not None:
                yield Fault(
                    f"topics[{index}]", f"{topic!r}: {reason}", "a FullTopic or a topic filter"
                )
        yield from self._check_meters()

    def _check_meters(self) -> Iterator[Fault]:
        if not self.meters:
            return
        from metrics_agent.modules.tasmota.meters import parse_meter_field

        for name, keys in self.meters.items():
            for key, text in keys.items():
                try:
                    parse_meter_field(text)
                except ValueError as error:  # noqa: PERF203 - every fault at once
                    yield Fault(join(join("meters", name), key), str(error))
