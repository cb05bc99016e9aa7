"""What the keys of smart meters mean: free names, brought to one form and looked up in a table.

``Volt_L1``, ``volt-l1`` and ``VoltL1`` become ``voltl#`` and phase 1; ``1-0:1.8.0*255``, ``1-8-0``
and ``1_8_0`` become the code ``1.8.0``. The words are those of the public collections of scripts
(see ``tests/modules/tasmota/coverage.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from attrs import evolve

from metrics_agent.catalogue import COUNTER, ELECTRICITY, Measurement
from metrics_agent.limits import TASMOTA_NAME_CHARS
from metrics_agent.modules.tasmota.meter_field import WATT_HOURS, WATTS, MeterField
from metrics_agent.modules.tasmota.meter_statistics import is_statistic
from metrics_agent.modules.tasmota.meter_words import read_words

__all__ = [
    "DAYS_AND_NIGHTS",
    "ENERGY",
    "TABLE",
    "find",
    "find_of_part",
    "normalised",
]


ENERGY: Final = ("kWh", "Wh", "MWh")
"""Those of meters that count heat or great amounts."""

DAYS_AND_NIGHTS: Final = {"totalday": "totalnight", "totaldaykwh": "totalnightkwh"}
"""Two tariffs; without the night's, that of the day is the energy of today for some."""

# Without 255 at the end it is a value of the past (IEC 62056-61, value group F).
_CODE = re.compile(
    r"(?:[0-9]{1,3}-[0-9]{1,3}:)?([0-9]{1,3})[._-]([0-9]{1,2})[._-]([0-9]{1,3})(?:\*255)?"
)
_SPELLING: Final = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "+": "plus", **dict.fromkeys("_-. :*/", "")}
)
# One of several meters, inputs or outputs: ``M1_Voltage_L1``, ``PV2_Current``, ``C3Voltage``.
_PART = re.compile(r"((?:M|C|CH|PV)[1-9]|Sensor[-_][0-9]{1,2})[-_]?([A-Za-z].*)")
# "ELZ_PV_1.8.0" is a meter's name and a code. A single letter is not: "z1_8_0" is
# easier to write in some programs.
_PREFIXED_CODE = re.compile(
    rf"(?:([A-Za-z][A-Za-z0-9_ -]*[A-Za-z0-9])[_ -]|[A-Za-z])({_CODE.pattern})"
)
_DIGIT = re.compile(r"[0-9]")
_NUMBERS: Final = frozenset("1234")


def normalised(key: str) -> tuple[str, str]:
    """Return a key's one form, and its phase (or tariff) if it has one, which is ``#`` in it."""
    return _normalised(key) if len(key) <= TASMOTA_NAME_CHARS else ("", "")


# A device sends the same keys each time.
@lru_cache(maxsize=1024)
def _normalised(key: str) -> tuple[str, str]:
    code = _CODE.fullmatch(key)
    if code is not None:
        return ".".join(code.groups()), ""
    text = key.lower()
    if text.startswith("-") or text.endswith("-"):
        text = f"minus{text}" if text.startswith("-") else f"{text}minus"
    text = text.translate(_SPELLING)
    digits = _DIGIT.findall(text)
    if len(digits) == 1 and digits[0] in _NUMBERS:
        return text.replace(digits[0], "#"), digits[0]
    return text, ""


def find(key: str) -> MeterField | None:
    """Return what a key means; None if neither the table nor its words say it."""
    meaning = TABLE.get(normalised(key))
    if meaning is not None or len(key) > TASMOTA_NAME_CHARS:
        return meaning
    return _find_more(key)


# A current, or the power of now; power in all, or energy.
_EITHER: Final = {
    "current": MeterField(ELECTRICITY.name, "current", units=("A", "W"), weak=True),
    "Pges": MeterField(ELECTRICITY.name, "power", units=("W", "kWh")),
}


@lru_cache(maxsize=1024)
def _find_more(key: str) -> MeterField | None:
    match = _PREFIXED_CODE.fullmatch(key)
    if match is not None:
        meaning = TABLE.get(_normalised(match[2]))
        return None if meaning is None else evolve(meaning, part=match[1] or "")
    match = _PART.fullmatch(key)
    meaning = find_of_part(match[2]) if match is not None else None
    if match is not None and meaning is not None and not meaning.part:
        return evolve(meaning, part=match[1])
    return _EITHER.get(key) or (None if is_statistic(key) else read_words(key))


def find_of_part(key: str) -> MeterField | None:
    """Return what a key means behind the name of a part."""
    form, phase = normalised(key)
    return find(key) or TABLE.get((f"part {form}", phase))


def _whole(
    measurement: Measurement,
    field: str,
    words: str,
    *,
    units: tuple[str, ...] = (),
    weak: bool = False,
) -> Iterator[tuple[tuple[str, str], MeterField]]:
    meaning = MeterField(measurement.name, measurement.key(field), "", 1.0, units, weak)
    for word in words.split():
        yield (word, ""), meaning


def _phases(
    field: str, forms: str, codes: str = "", *, units: tuple[str, ...] = (), weak: bool = False
) -> Iterator[tuple[tuple[str, str], MeterField]]:
    """Describe three phases: forms with ``#``, and the first of the three codes of each kind."""
    for phase in "123":
        name, key = ELECTRICITY.name, ELECTRICITY.key(field)
        meaning = MeterField(name, key, phase, 1.0, units, weak)
        for form in forms.split():
            yield (form, phase), meaning
        for code in codes.split():
            first, rest = code.split(".", 1)
            yield (f"{int(first) + 20 * (int(phase) - 1)}.{rest}", ""), meaning


def _each_phase(
    field: str, words: str, codes: str = ""
) -> Iterator[tuple[tuple[str, str], MeterField]]:
    """Describe three phases by words, in the usual forms."""
    yield from _phases(
        field,
        " ".join(
            form
            for word in words.split()
            for form in (
                f"{word}l#",
                f"{word}p#",
                f"{word}phase#",
                f"{word}l#n",
                f"{word}l#curr",
                f"phase#{word}",
            )
        ),
        codes,
    )


def _between_phases(field: str, words: str) -> Iterator[tuple[tuple[str, str], MeterField]]:
    """Describe the three pairs of phases, whose channel is ``l1_l2``, ``l2_l3`` or ``l3_l1``."""
    name, key = ELECTRICITY.name, ELECTRICITY.key(field)
    for first, second in ("12", "23", "31", "13"):
        channel = f"l{first}_l{second}" if (first, second) != ("1", "3") else "l3_l1"
        for word in words.split():
            for form in (
                f"{word}l{first}l{second}",
                f"{word}l{first}{second}",
                f"l{first}l{second}{word}",
            ):
                yield (form, ""), MeterField(name, key, channel)
            # A supply of 12 V may be "V12" too.
            yield (f"{word}{first}{second}", ""), MeterField(name, key, channel, weak=True)


def _tariffs(field: str, words: str, codes: str) -> Iterator[tuple[tuple[str, str], MeterField]]:
    """Describe four tariffs: 1 or HT, 2 or NT, 3, 4."""
    for tariff, letters in (("1", "ht"), ("2", "nt"), ("3", ""), ("4", "")):
        name, key = ELECTRICITY.name, ELECTRICITY.key(f"{field}_t{tariff}")
        meaning = MeterField(name, key)
        for word in words.split():
            for form in (f"{word}t#", f"{word}tarif#", f"{word}tariff#", f"t#{word}"):
                yield (form, tariff), meaning
            if letters:
                yield (f"{word}{letters}", ""), meaning
                yield (f"{letters}{word}", ""), meaning
        for code in codes.split():
            yield (f"{code}.{tariff}", ""), meaning


TABLE: Final[dict[tuple[str, str], MeterField]] = dict(
    (
        *_whole(
            ELECTRICITY,
            "energy_total",
            "totalin ein importactive energyimported energyimport totalkwh totalimport bezug "
            "zaehlerstand counterpos energyin enrgimp totalconsumedkwh kwhin imp gesamtverbrauch "
            "bezugsumme verbrauchsumme zaehlerstand180 zaehlerapos zaehleraplus poswirktariflos "
            "meterreadingtotal totalsumme timp energyactive eti180 energysum energytot ei "
            "realenergyconsumed energyforward plusa realenergy wtotal energynet tariflos "
            "eccounterval einop 1.8.0",
        ),
        *_whole(
            ELECTRICITY,
            "energy_total",
            "total kwh energy energytotal counter energie te",
            weak=True,
        ),
        *_whole(
            ELECTRICITY,
            "energy_exported_total",
            "totalout eout exportactive energyexported energyexport totalexport einspeisung "
            "counterneg energyout enrgexp totaldeliveredkwh kwhout einspeisungsumme einspeisungges "
            "gesamteinspeisung zaehlerstand280 negwirktariflos totaleinsp exporttotalkwh texp "
            "enout eto280 minusa totalkwhout totalgesamtout energysupply realenergydelivered "
            "energytotexport negactivetotal eo zaehleraminus tre eoutop 2.8.0",
        ),
        *_whole(
            ELECTRICITY,
            "energy_total",
            "import inputtotal zaehlerstandtotal totalconsumption totalactiveenergy "
            "wirkenergietotal consumed imported",
            units=WATT_HOURS,
        ),
        *_whole(
            ELECTRICITY, "energy_exported_total", "export exported outputtotal", units=WATT_HOURS
        ),
        *_whole(ELECTRICITY, "energy_total_t1", "importht", units=WATT_HOURS),
        *_whole(ELECTRICITY, "energy_total_t2", "importnt", units=WATT_HOURS),
        *_whole(ELECTRICITY, "energy_exported_total_t1", "exportht", units=WATT_HOURS),
        *_whole(ELECTRICITY, "energy_exported_total_t2", "exportnt", units=WATT_HOURS),
        *_whole(ELECTRICITY, "energy_total_t1", " ".join(DAYS_AND_NIGHTS), weak=True),
        *_whole(ELECTRICITY, "energy_total_t2", " ".join(DAYS_AND_NIGHTS.values())),
        *_whole(ELECTRICITY, "energy_today", "today energytoday", weak=True),
        *_whole(ELECTRICITY, "energy_yesterday", "yesterday energyyesterday", weak=True),
        *_whole(ELECTRICITY, "reactive_energy_imported_total", "importreactive"),
        *_whole(ELECTRICITY, "reactive_energy_exported_total", "exportreactive"),
        *_tariffs(
            "energy_total",
            "total totalin ein kwhin energyimport enrgimp verbrauch energytarif energy bezug "
            "poswirk zaehlerstand",
            "1.8",
        ),
        *_tariffs(
            "energy_exported_total",
            "totalout eout kwhout energyexport enrgexp einspeisung negwirk",
            "2.8",
        ),
        # Of the gPlug.
        *(
            (
                (f"{word}#", tariff),
                MeterField(ELECTRICITY.name, ELECTRICITY.key(f"{field}_t{tariff}")),
            )
            for word, field in (("ei", "energy_total"), ("eo", "energy_exported_total"))
            for tariff in "12"
        ),
        *_phases("power_imported", "p#i"),
        *_phases("power_exported", "p#o"),
        *_phases("energy_total", "impl# totalinl# einl# l#te", "21.8.0"),
        *_phases("energy_exported_total", "expl# totaloutl# eoutl# l#tre", "22.8.0"),
        *_phases("energy_total", "realenergyl# realenergyl#consumed", units=WATT_HOURS),
        *_phases("energy_exported_total", "realenergyl#delivered", units=WATT_HOURS),
        # Of heat.
        *_whole(ELECTRICITY, "energy_total", "mwhcount", units=ENERGY),
        (("heatenergye#", "1"), MeterField(ELECTRICITY.name, "energy_total", units=ENERGY)),
        *_whole(
            ELECTRICITY,
            "power",
            "powercurr powercur currw curw leistung currpower currentpower activepower ptot "
            "momentanleistung aktuellewirkleistung wirkleistung momentanwirkleistung pact "
            "effectivepower activepowertotal currentactivepower actualpower wattsumme "
            "leistungtotal momentanverbrauch wirkleistungsumme outputpower energydemand "
            "ddmpower currentconsumption powersumme gesamtleistung pl1l2l3 mainsw ecpowerval "
            "16.7.0 15.7.0",
        ),
        # Of an inverter.
        *_whole(ELECTRICITY, "power_dc", "inputpower"),
        *_whole(ELECTRICITY, "power", "power p pt", weak=True),
        # Seen in W and in kW.
        *_whole(
            ELECTRICITY,
            "power",
            "1.7.0 powertotal totalpower tp kw kwl1plusl2plusl3",
            units=WATTS,
        ),
        *_phases("power", "l#p kwl# prmsl# l#activepower", "21.7.0", units=WATTS),
        *_whole(ELECTRICITY, "power_imported", "plusp pimport"),
        *_whole(
            ELECTRICITY, "power_imported", "pin powerin powerimport pwrimp kwin pi", units=WATTS
        ),
        *_whole(ELECTRICITY, "power_exported", "minusp pexport powerreverse einspeiseleistung"),
        *_whole(
            ELECTRICITY,
            "power_exported",
            "pout powerout powerexport pwrexp einspeisungakt kwout po 2.7.0",
            units=WATTS,
        ),
        *_whole(ELECTRICITY, "power_imported", "pp", units=WATTS, weak=True),
        *_whole(ELECTRICITY, "power_exported", "pm", units=WATTS, weak=True),
        *_each_phase(
            "power",
            "power watt w p leistung wirkleistung activepower realpower powercurr effpower pow pl",
            "36.7.0",
        ),
        *_phases("power", "p# pow# watt# power# l#power l#watt l#w l#leistung"),
        # By itself a phase: watts in some scripts, amperes in others.
        *_phases("power", "l#", units=("W", "A"), weak=True),
        *_each_phase("voltage", "volt voltage spannung u v volts ul", "32.7.0"),
        *_phases("voltage", "u# ul# volt# v# l#v l#volt l#voltage l#spannung l#nvoltage"),
        *_whole(ELECTRICITY, "voltage", "spannung ddmvoltage voltageavg lnvoltage mainsv 12.7.0"),
        *_between_phases("voltage", "u v ul volt voltage spannung"),
        *_whole(ELECTRICITY, "voltage", "voltage volt u v", weak=True),
        *_each_phase("current", "curr current i amperage amp amps a strom ampere", "31.7.0"),
        *_phases("current", "i# il# curr# amp# l#i l#a l#amp l#current l#strom"),
        *_whole(ELECTRICITY, "current", "i", weak=True),
        *_whole(ELECTRICITY, "current", "amperage accurrent ddmcurrent currenttotal mainsc 11.7.0"),
        *_whole(ELECTRICITY, "current_neutral", "in 91.7.0"),
        *_whole(
            ELECTRICITY,
            "frequency",
            "freq hz netfrequency netzfrequenz gridfrequency frequenz ddmfrequency 14.7.0",
        ),
        *_whole(ELECTRICITY, "frequency", "frequency f", weak=True),
        *_phases("frequency", "freq# freql# freqp# frequencyl# frequencyp#"),
        # Of a part only: "current" alone is the power of now in some scripts.
        *(
            ((f"part {form}", phase), meaning)
            for (form, phase), meaning in (
                *_whole(ELECTRICITY, "current", "current curr a"),
                *_whole(ELECTRICITY, "voltage", "v"),
                *_whole(ELECTRICITY, "power", "w"),
                *_whole(ELECTRICITY, "power", "prmstotal", units=WATTS),
            )
        ),
        *_whole(COUNTER, "volume", "count", weak=True),
        # By itself a sensor's resistance.
        *_whole(COUNTER, "volume", "gas", units=("m3", "l"), weak=True),
        *_whole(ELECTRICITY, "phase_angle", "phaseangle", weak=True),
        *_phases("phase_angle", "phaseanglep# phaseanglel# phaseangle#"),
        *(
            (code, MeterField(ELECTRICITY.name, ELECTRICITY.key("phase_angle"), phase))
            for code, phase in (
                (("81.7.4", ""), "1"),
                (("81.7.15", ""), "2"),
                (("81.7.26", ""), "3"),
            )
        ),
    )
)
"""Form and phase of a key -> what it means."""
