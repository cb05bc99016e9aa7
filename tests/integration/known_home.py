"""A home whose figures are known, as lines: what queries are tested with.

Counters have a sample every half hour, from `DAYS` before today's midnight (UTC) until now; what
happens rarely has a point when it happens.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

__all__ = ["DAY_S", "HOUR_S", "MINUTE_S", "SILENT_AGENT_MINUTES", "WAITING", "KnownHome"]

MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S
STEP_S = 30 * MINUTE_S
DAYS = 70

FRIDGE_A_DAY, DRYER_A_DAY, WASHER_A_DAY, PHASE_A_DAY = 2.4, 0.4, 0.8, 1.0
RESTART_S = 12 * HOUR_S + 15 * MINUTE_S
"""When the fridge's counter begins at 0 again, on the day before yesterday."""
LOST_S = 15 * MINUTE_S
"""Since the last sample before it."""
SILENT_AGENT_MINUTES = 20
"""Since then the agent in the shed has been silent."""
WAITING = {
    "attic": {"queue_metrics": 7, "delivery_lag": 0.5, "reactor_lag_max": 0.02},
    "cellar": {"queue_metrics": 9000, "delivery_lag": 90.5, "reactor_lag_max": 1.5},
}
"""What two agents report; the second one has to wait for its database."""
DAWN_S, DUSK_S = 6 * HOUR_S, 18 * HOUR_S


@frozen
class KnownHome:
    """It is ``now_s``, in seconds since the epoch."""

    now_s: int

    @property
    def midnight_s(self) -> int:
        """When today began."""
        return self.now_s - self.now_s % DAY_S

    def yield_of(self, time_s: float) -> float:
        """Return what the sun gave on the day of a time, in kWh: 5, 6, 7, 5 ..."""
        return 5.0 + time_s // DAY_S % 3

    def yielded(self, start_s: float, end_s: float) -> float:
        """Return what it gave between two times."""
        return self._sun(end_s) - self._sun(start_s)

    def lines(self) -> Iterator[str]:
        """Yield all lines."""
        yield from self._counters()
        yield from self._devices()
        yield from self._agent()

    def _sun(self, time_s: float) -> float:
        start_s = self.midnight_s - DAYS * DAY_S
        days = [start_s + day * DAY_S for day in range(int((time_s - start_s) // DAY_S))]
        share = (time_s % DAY_S - DAWN_S) / (DUSK_S - DAWN_S)
        today = self.yield_of(time_s) * min(max(share, 0.0), 1.0)
        return sum(map(self.yield_of, days)) + today

    def _counters(self) -> Iterator[str]:
        start_s = self.midnight_s - DAYS * DAY_S
        restart_s = self.midnight_s - 2 * DAY_S + RESTART_S
        for time_s in range(start_s, self.now_s + 1, STEP_S):
            days = (time_s - start_s) / DAY_S
            fridge = (time_s - restart_s) / DAY_S if time_s >= restart_s else 40 + days
            sun, today = self._sun(time_s), self._sun(time_s) - self._sun(time_s - time_s % DAY_S)
            for tags, total in (
                ("device=fridge,friendly=Fridge,vendor=tasmota", fridge * FRIDGE_A_DAY),
                ("device=laundry,friendly=Laundry,vendor=tasmota", days * 1.2),
                ("channel=1,device=laundry,friendly=Washer,vendor=tasmota", days * WASHER_A_DAY),
                ("channel=2,device=laundry,friendly=Dryer,vendor=tasmota", days * DRYER_A_DAY),
                *(
                    (f"channel={phase},device=house,friendly=House,vendor=tasmota", days)
                    for phase in (1, 2, 3)
                ),
            ):
                yield _line(f"electricity,{tags}", f"energy_total={total:.6f}", time_s)
            for tags in (
                "device=total,vendor=opendtu",
                "device=114182ab0001,friendly=Garage,vendor=opendtu",
                "channel=1,device=114182ab0001,friendly=East,vendor=opendtu",
            ):
                fields = f"energy_total={1000 + sun:.6f},energy_today={today:.6f}"
                yield _line(f"electricity,{tags}", fields, time_s)
        for tags, watts in (
            ("device=fridge,friendly=Fridge,vendor=tasmota", 100),
            ("device=laundry,friendly=Laundry,vendor=tasmota", 30),
            ("channel=1,device=laundry,friendly=Washer,vendor=tasmota", 20),
            ("channel=2,device=laundry,friendly=Dryer,vendor=tasmota", 10),
            ("channel=1,device=house,friendly=House,vendor=tasmota", 200),
            ("channel=2,device=house,friendly=House,vendor=tasmota", -300),
            ("channel=3,device=house,friendly=House,vendor=tasmota", 50),
            ("device=total,vendor=opendtu", 800),
        ):
            yield self._ago(f"electricity,{tags}", f"power={watts}.0", MINUTE_S)

    def _devices(self) -> Iterator[str]:
        for name, percent, hours in (("bath", 91, 1), ("window", 12, 20), ("old", 55, 40)):
            yield self._ago(
                f"device,device={name},friendly={name.title()},vendor=zigbee2mqtt",
                f"battery={percent}.0",
                hours * HOUR_S,
            )
        bell = "device,device=bell,friendly=Bell,vendor=rtl_433"
        yield self._ago(bell, "battery_low=true", HOUR_S)
        for name, moments in (
            # Closed, and open since 45 minutes, 10 minutes, two hours; the last says so again.
            ("kitchen", ((180, True), (45, False))),
            ("bathroom", ((180, True), (10, False))),
            ("attic", ((300, True), (120, False), (60, False), (5, False))),
            ("cellar", ((300, False), (240, True))),
        ):
            tags = f"state,device={name},friendly={name.title()},vendor=zigbee2mqtt"
            for minutes, closed in moments:
                yield self._ago(tags, f"contact={str(closed).lower()}", minutes * MINUTE_S)
        cistern = "device,device=cistern,friendly=Cistern,vendor=tasmota"
        fridge = "device,device=fridge,friendly=Fridge,vendor=tasmota"
        yield self._ago(cistern, "stale=true", 2 * HOUR_S)
        yield self._ago(fridge, "stale=true", 5 * HOUR_S)
        yield self._ago(fridge, "stale=false", 4 * HOUR_S)
        for minutes in range(0, 60, 5):
            silent_s = 2 * HOUR_S + 300 - minutes * MINUTE_S
            yield self._ago(cistern, f"last_seen={silent_s}.0", minutes * MINUTE_S)
            yield self._ago(fridge, "last_seen=9.0", minutes * MINUTE_S)

    def _agent(self) -> Iterator[str]:
        """Two hours: errors grow by one a minute, from 0 on again at a restart 30 minutes ago."""
        mqtt = "module=mqtt,module_instance=tasmota,broker=tcp://mosquitto:1883,client_id=agent"
        for minutes in range(120):
            counted = 30 - minutes if minutes <= 30 else 120 - minutes
            for module, state, errors in (("tasmota", 2, 0), ("netatmo", 4, counted)):
                fields = f"state={state}i,errors={errors}i,dropped={2 * errors}i,restarts={errors}i"
                row = f"metrics_agent,module={module}"
                yield self._ago(row, f"{fields},last_metric=3.0", minutes * MINUTE_S)
            yield self._ago(f"metrics_agent,{mqtt}", "state=3i,errors=0i", minutes * MINUTE_S)
            output = "module=output,output=http://victoriametrics:8428/write"
            lost = max(0, 10 - minutes)
            fields = f"state=2i,errors=0i,dropped={lost}i"
            yield self._ago(f"metrics_agent,{output}", fields, minutes * MINUTE_S)
            for host, values in WAITING.items():
                fields = ",".join(
                    f"{name}={value}{'i' * isinstance(value, int)}"
                    for name, value in values.items()
                )
                tags = f"metrics_agent,module=agent,host={host}"
                yield self._ago(tags, f"uptime=9.0,errors=0i,{fields}", minutes * MINUTE_S)
            if minutes >= SILENT_AGENT_MINUTES:
                shed = "metrics_agent,module=agent,host=shed"
                yield self._ago(shed, "uptime=9.0,errors=0i", minutes * MINUTE_S)

    def _ago(self, tags: str, fields: str, seconds: int) -> str:
        return _line(tags, fields, self.now_s - seconds)


def _line(tags: str, fields: str, time_s: int) -> str:
    return f"{tags} {fields} {time_s}000000000"
