"""Names of meters' values that are read word by word, and parts of a meter."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from metrics_agent.modules.tasmota.meter_parts import find_parts
from metrics_agent.modules.tasmota.meter_words import read_words

READ: Final = {
    "VolL1": ("voltage", "1", ()),
    "cur_l3": ("current", "3", ()),
    "ActPow": ("power", "", ()),
    "Leistung aktuell L2": ("power", "2", ()),
    "TotEneExp": ("energy_exported_total", "", ()),
    "Energy_T3": ("energy_total_t3", "", ()),
    "Energy_P1_R2": ("energy_total_t2", "1", ()),
    "L1ReverseActiveEnergy": ("energy_exported_total", "1", ()),
    "180_zaehlerstand_total": ("energy_total", "", ()),
    "Leistung.plus": ("power_imported", "", ("W", "kW")),
    "ActPowExp": ("power_exported", "", ("W", "kW")),
    "L1Wirkenergie": ("energy_total", "1", ("Wh", "kWh")),
    "Power_T1": ("energy_total_t1", "", ("Wh", "kWh")),
    "Total_Grid_Power": ("power", "", ()),
    "Grid_Energy": None,
    "Netz": None,
    "Reactive_Power": None,
    "BatteryVoltage": None,
    "Power_Factor": None,
    "current": None,
    "Voltage_in": None,
    "Energy_Voltage": None,
    "Power_L4": None,
    "Power_L1_L2": None,
    "T1": None,
    "U1+U2": None,
    "": None,
}
WORDS: Final = st.lists(
    st.sampled_from(
        ("Power", "energy", "VOLT", "L1", "P2", "T3", "HT", "in", "Exp", "total", "Cur", "kWh", "_")
    ),
    max_size=6,
)


class WordTests(SynchronousTestCase):
    """A name means what all its words say, or nothing."""

    def test_names(self) -> None:
        """Field, phase and units in doubt of each name."""
        for key, expected in READ.items():
            meaning = read_words(key)
            found = None if meaning is None else (meaning.field, meaning.channel, meaning.units)
            self.assertEqual(found, expected, key)

    @given(WORDS, st.sampled_from(("Reactive", "Battery", "xyz", "7", "Ω")))
    def test_one_unknown_word_makes_the_name_unknown(self, words: list[str], other: str) -> None:
        """Whatever else a name says, a word that is not known may make it another value."""
        for place in range(len(words) + 1):
            key = "_".join((*words[:place], other, *words[place:]))
            self.assertIsNone(read_words(key), key)

    @given(st.text(max_size=128))
    def test_any_text(self, key: str) -> None:
        """No text is a fault; a phase is one of three."""
        meaning = read_words(key)
        self.assertTrue(meaning is None or meaning.channel in {"", "1", "2", "3"})


class PartTests(SynchronousTestCase):
    """The first or last word names a part if another part has the same value."""

    def test_parts(self) -> None:
        """Each with its part, also what only one of the parts has."""
        found = find_parts(["A_power", "B_power", "B_energy", "ivolt", "ovolt", "ipwr"])
        self.assertEqual(
            {key: (each.field, each.part) for key, each in found.items()},
            {
                "A_power": ("power", "A"),
                "B_power": ("power", "B"),
                "B_energy": ("energy_total", "B"),
                "ivolt": ("voltage", "i"),
                "ovolt": ("voltage", "o"),
                "ipwr": ("power", "i"),
            },
        )

    def test_no_parts(self) -> None:
        """One alone, thousandths, and words that make it another value."""
        for keys in (
            ["Roof_power", "Roof_energy"],
            ["mvolt", "kvolt"],
            ["Reactive_Power", "Apparent_Power", "Battery_Power"],
            ["Max_Voltage", "Min_Voltage"],
        ):
            self.assertEqual(find_parts(keys), {}, keys)
