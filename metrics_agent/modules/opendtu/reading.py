"""What a message says, whichever way it came: values in our units, nothing judged yet."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from attrs import field, frozen

from metrics_agent.metric import FieldValue

__all__ = ["NOTHING_MEASURED", "Fields", "Frame", "Inverter", "Measured", "Part", "String"]

Fields = Mapping[str, float]
_NOTHING: Final[Fields] = MappingProxyType({})


@frozen
class String:
    """One string of panels.

    Attributes:
        name: what people call it, empty if it has no name.
        values: fields of ``electricity``.
    """

    name: str = ""
    values: Fields = _NOTHING


Measured = tuple[Fields, Mapping[int, String], Mapping[int, Fields]]
"""What was measured: of the inverter as a whole, of its strings, of its phases."""
NOTHING_MEASURED: Final[Measured] = ({}, {}, {})


@frozen
class Inverter:
    """One inverter.

    Attributes:
        serial: its serial number, lower case.
        name: what people call it, empty if it has no name.
        age_s: how old the values are; None if that is not known.
        sent_when_new: the values are only sent when they are new, so their age says nothing.
        heard: whether the DTU has ever received anything from it since its own start.
        polled: whether the DTU asks it just now; None if that is not known,
            and as it was before.
        status: fields of ``inverter`` that the DTU knows itself, true at the time of the message.
        values: fields of ``electricity``, and the temperature.
        strings: by their number, from 1.
        phases: fields of ``electricity`` by their number, from 1; of three-phase inverters.
    """

    serial: str
    name: str = ""
    age_s: float | None = None
    sent_when_new: bool = False
    heard: bool = True
    polled: bool | None = None
    status: Mapping[str, FieldValue] = field(factory=dict)
    values: Fields = _NOTHING
    strings: Mapping[int, String] = field(factory=dict)
    phases: Mapping[int, Fields] = field(factory=dict)

    @property
    def measured(self) -> Measured:
        """All measured values, for a comparison: the same again is a repetition."""
        return (self.values, self.strings, self.phases)

    @property
    def reachable(self) -> bool:
        """Whether the inverter answers; taken as true where that is not known."""
        return self.status.get("reachable") is not False


@frozen
class Part:
    """Something beside the inverters: all of them together, a battery, a charger, a meter.

    Attributes:
        device: its name, which becomes the tag ``device``.
        measurement: where its fields belong.
        values: the fields.
        channel: from 1, of what it has several of; 0 for the whole.
        age_s: how old the values are; None if that is not known.
    """

    device: str
    measurement: str
    values: Fields
    channel: int = 0
    age_s: float | None = None


@frozen
class Frame:
    """One message of the socket.

    Attributes:
        inverters: those that are in it.
        total: all inverters of the DTU together, None if it is not in it.
        parts: what else is in it.
    """

    inverters: tuple[Inverter, ...] = ()
    total: Part | None = None
    parts: tuple[Part, ...] = ()
