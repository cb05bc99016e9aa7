"""What is new in a reading, and when it was measured; see `tracker`."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.metric import FieldValue
from metrics_agent.modules.opendtu.counters import ENERGY_TODAY, ENERGY_TOTAL
from metrics_agent.modules.opendtu.reading import (
    NOTHING_MEASURED,
    Fields,
    Inverter,
    Measured,
    String,
)

__all__ = ["OLDEST_S", "SECOND_NS", "Known", "is_newer", "read_news"]

SECOND_NS: Final = 1_000_000_000
OLDEST_S: Final = 24 * 3600.0
"""What is older is not sent."""

_SAME_UPDATE_NS: Final = 2 * SECOND_NS
"""Ages are whole seconds and messages are under way: so much closer is the same time."""
_CLOCK_SET_NS: Final = 60 * SECOND_NS
"""Values cannot get older than they were: our clock was set back."""
_REPEAT_AGE_S: Final = 9.0
"""What is new is sent within a second or two; from here on it is the repetition of ten seconds."""
_FRESH_S: Final = 60.0

_VOLTAGE: Final = ELECTRICITY.key("voltage")
_COUNTERS: Final = frozenset({ENERGY_TODAY, ENERGY_TOTAL})


class Known:
    """What is remembered of one inverter.

    Attributes:
        clock_is_off: the DTU's clock, which says when the inverter was heard, is wrong.
        heard: the DTU has received something from it since its own start.
        measured: the last values.
        polled: the DTU asks it just now; None if that is not known.
        seen_ns: when the last reading came.
        status, status_ns: what was written last of how it is doing, and when.
        updated_ns: when the radio brought the last values.
    """

    __slots__ = (
        "clock_is_off",
        "heard",
        "measured",
        "polled",
        "seen_ns",
        "status",
        "status_ns",
        "updated_ns",
    )

    def __init__(self) -> None:
        self.clock_is_off = False
        self.heard = True
        self.polled: bool | None = None
        self.seen_ns = 0
        self.updated_ns: int | None = None
        self.measured: Measured = NOTHING_MEASURED
        self.status: list[FieldValue | None] = []
        self.status_ns = 0

    def remember(self, reading: Inverter, updated_ns: int | None) -> None:
        """Note the values, and when the radio brought the last ones."""
        self.measured = reading.measured
        self.updated_ns = updated_ns


def read_news(reading: Inverter, known: Known, received_ns: int) -> tuple[Inverter, int] | None:
    """Return what is new and when it was measured, None if nothing is.

    Args:
        reading: of an inverter that the DTU has heard.
        known: of the inverter; it is brought up to date.
        received_ns: when the reading came.
    """
    if not any(reading.measured):
        return None
    age_s, before = reading.age_s, known.measured
    if age_s is None:
        known.measured = reading.measured
        return reading, received_ns
    updated_ns = received_ns - round(age_s * SECOND_NS)
    is_fresh = age_s <= _FRESH_S
    if reading.sent_when_new:
        # New values of an inverter in reach are young, whatever the DTU's clock says.
        known.clock_is_off = reading.reachable and not is_fresh
        has_news = is_fresh or known.clock_is_off
    else:
        has_news = is_newer(updated_ns, known.updated_ns)
    is_same = reading.measured == before and not reading.sent_when_new
    known.remember(reading, updated_ns if has_news else known.updated_ns)
    if is_same and (not has_news or age_s >= _REPEAT_AGE_S):
        return None
    # At dusk the DTU says 0 for an inverter that does not answer: that is so now.
    is_zeroed = not reading.reachable and reading.values.get(_VOLTAGE) == 0
    if not reading.reachable and (is_zeroed or not has_news):
        changed = _changed(reading, before, is_zeroed=is_zeroed)
        return (changed, received_ns) if any(changed.measured) else None
    return reading, updated_ns if has_news and not known.clock_is_off else received_ns


def is_newer(updated_ns: int, before_ns: int | None) -> bool:
    """Say whether something was received since; also if a clock was set back."""
    return (
        before_ns is None
        or updated_ns > before_ns + _SAME_UPDATE_NS
        or updated_ns < before_ns - _CLOCK_SET_NS
    )


def _changed(reading: Inverter, before: Measured, *, is_zeroed: bool) -> Inverter:
    """Return a reading with nothing but what the DTU itself has changed.

    Args:
        reading: all values.
        before: those of the last reading, ``NOTHING_MEASURED`` if this is the first one.
        is_zeroed: the DTU has set its values to 0.
    """
    if before == NOTHING_MEASURED:
        if is_zeroed:
            return reading
        # What was measured may be hours old; a counter says the same until it moves on.
        return evolve(
            reading,
            values={key: value for key, value in reading.values.items() if key in _COUNTERS},
            strings={},
            phases={},
        )
    values, strings, phases = before
    nothing = String()
    return evolve(
        reading,
        values=_different(reading.values, values),
        strings={
            number: evolve(string, values=new)
            for number, string in reading.strings.items()
            if (new := _different(string.values, strings.get(number, nothing).values))
        },
        phases={
            number: new
            for number, phase in reading.phases.items()
            if (new := _different(phase, phases.get(number, {})))
        },
    )


def _different(values: Fields, before: Fields) -> Fields:
    return {key: value for key, value in values.items() if before.get(key) != value}
