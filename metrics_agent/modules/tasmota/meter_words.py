"""Names of meters' values that no table has, read word by word.

``VolL1``, ``TotEneExp``, ``L2ForwardActiveEnergy``, ``Wirkenergie.plus``: a quantity, a direction,
a phase or tariff, in any order, and words that add nothing. A single word that is not known here
makes the whole name unknown: it may say that the value is another (``Reactive``, ``Battery``).
"""

from __future__ import annotations

import re
from typing import Final

from metrics_agent.catalogue import ELECTRICITY
from metrics_agent.modules.tasmota.meter_field import WATT_HOURS, WATTS, MeterField

__all__ = ["read_words"]

_POWER, _ENERGY, _ACTIVE_ENERGY = "power", "energy", "active energy"
_VOLTAGE, _CURRENT, _FREQUENCY = "voltage", "current", "frequency"
_OF_PARTS: Final = frozenset({_POWER, _VOLTAGE, _CURRENT, _FREQUENCY})
_NOTHING: Final = ("", "")


def _says(what: str, value: str, words: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(words.split(), (what, value))


_WORDS: Final = {
    **_says("quantity", _POWER, "power pow pwr p watt watts w leistung wirkleistung potencia"),
    **_says("quantity", _ENERGY, "energy ene enrg e energie zaehlerstand kwh energia"),
    **_says("quantity", _ACTIVE_ENERGY, "wirkenergie wirkarbeit"),
    **_says("quantity", _VOLTAGE, "voltage volt volts vol v spannung tensao"),
    **_says("quantity", _CURRENT, "amperage ampere amp amps a strom corrente i"),
    **_says("quantity", _FREQUENCY, "frequency freq frequenz hz"),
    # An electric current, or beside another quantity: that of now.
    **_says("present", "now", "current curr cur"),
    **_says("direction", "in", "in imp import imported bezug consumed consumption forward plus"),
    **_says("direction", "in", "pos positive 180"),
    **_says("direction", "out", "out exp export exported einspeisung lieferung reverse minus"),
    **_says("direction", "out", "neg negative 280"),
    **_says("part", "", "grid load gen generator solar pv house home"),
    **_says("tariff", "1", "ht"),
    **_says("tariff", "2", "nt"),
    **dict.fromkeys(
        (
            *("total", "tot", "sum", "summe", "gesamt", "ges", "active", "act", "actual"),
            *("aktuell", "aktuelle", "real", "momentan", "instantaneous", "phase"),
        ),
        _NOTHING,
    ),
}
"""Word -> what it says, and which; a part says its own word."""
_PHASES: Final = frozenset({"l", "p", "phase"})
_TARIFFS: Final = frozenset({"t", "r", "rate", "tarif", "tariff"})
_SPELLING: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"}
)
# "ActPowL2" is Act, Pow, L, 2; "TotalKWH" is Total, KWH. The signs of "+A" and "Energy-" are words.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+|^[+-]|[+-]$|[^A-Za-z0-9_\-. :/]")
_SIGNS: Final = {"+": "plus", "-": "minus"}
_DIGIT_ONLY = re.compile(r"[1-4]")


def read_words(key: str) -> MeterField | None:
    """Return what a name means by its words; None if one of them is not known."""
    words = [_SIGNS.get(word, word) for word in _WORD.findall(key.translate(_SPELLING))]
    reader = _Words()
    index = 0
    while index < len(words):
        number = words[index + 1] if index + 1 < len(words) else ""
        taken = reader.take(words[index], number if _DIGIT_ONLY.fullmatch(number) else "")
        if not taken:
            return None
        index += taken
    return reader.meaning()


class _Words:
    """What the words of one name say, each at most once."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def take(self, word: str, number: str) -> int:
        """Take a word, with the number after it if it is that of a phase or tariff.

        Returns:
            How many words that were; 0 if it is not known or contradicts another.
        """
        lower = word.lower()
        if number and lower in _PHASES and number != "4":
            return 2 * self._say("phase", number)
        if number and lower in _TARIFFS:
            return 2 * self._say("tariff", number)
        what, value = _WORDS.get(lower, ("unknown", ""))
        return what != "unknown" and self._say(what, word if what == "part" else value)

    def _say(self, what: str, value: str) -> bool:
        return self._said.setdefault(what, value) == value

    def meaning(self) -> MeterField | None:
        """Return what all words say together; None if that is not enough or makes no sense."""
        quantity = self._said.get("quantity", "")
        phase, tariff = self._said.get("phase", ""), self._said.get("tariff", "")
        direction = self._said.get("direction", "")
        if not quantity and "present" in self._said and (phase or "part" in self._said):
            quantity = _CURRENT
        part = self._said.get("part", "")
        if part and (tariff or quantity not in _OF_PARTS):
            # An energy of a part may have either direction.
            return None
        # A tariff counts energy, also where it is called a power.
        if quantity in {_ENERGY, _ACTIVE_ENERGY} or (quantity == _POWER and tariff):
            name = "energy_exported_total" if direction == "out" else "energy_total"
            field = f"{name}_t{tariff}" if tariff else name
            doubt = quantity != _ENERGY or (phase and not direction and not tariff)
            units = WATT_HOURS if doubt else ()
        elif quantity == _POWER:
            names = {"in": "power_imported", "out": "power_exported"}
            field, units = names.get(direction, "power"), WATTS if direction else ()
        elif quantity and not tariff and not direction and (phase or part or quantity != _CURRENT):
            field, units = quantity, ()
        else:
            return None
        weak = not (phase or tariff or direction)
        return MeterField(ELECTRICITY.name, ELECTRICITY.key(field), phase, 1.0, units, weak, part)
