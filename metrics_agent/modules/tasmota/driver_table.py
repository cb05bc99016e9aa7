"""What the keys of objects mean that drivers of devices send, not those of sensor chips.

As the other overrides, by the stem of an object's name. The objects of Teleinfo have names that a
script may give its meter too, so each is known by a key that it always has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from metrics_agent.catalogue import BATTERY, CLIMATE, COUNTER, DEVICE, ELECTRICITY, STATE, SWITCH
from metrics_agent.modules.tasmota.sensor_table import SensorReading, flag, reading
from metrics_agent.modules.tasmota.values import ChosenUnit

__all__ = ["DRIVERS", "NESTED_DRIVERS", "NUMBERED_DRIVERS", "teleinfo_stem"]


def _tic(field: str, factor: float = 1.0) -> SensorReading:
    return reading(ELECTRICITY, field, text=True, factor=factor)


def _hvac(field: str) -> SensorReading:
    return reading(CLIMATE, field, ChosenUnit.TEMPERATURE, text=True)


_METER: Final = "Teleinfo METER"
_CONTRACT: Final = "Teleinfo CONTRACT"
_PRODUCTION: Final = "Teleinfo PROD"
_TELEINFO: Final = {
    "METER": ("PSUB", _METER),
    "CONTRACT": ("serial", _CONTRACT),
    "PROD": ("COS", _PRODUCTION),
}
_WH: Final = 0.001

DRIVERS: Final[Mapping[str, dict[str, SensorReading | None]]] = {
    # Teleinfo, in the words of its two modes; the firmware quotes some numbers. Wh, VA.
    "TIC": {
        **dict.fromkeys(("BASE", "EAST"), _tic("energy_total", _WH)),
        **dict.fromkeys(("HCHC", "EJPHN", "EASF01"), _tic("energy_total_t1", _WH)),
        **dict.fromkeys(("HCHP", "EJPHPM", "EASF02"), _tic("energy_total_t2", _WH)),
        "EASF03": _tic("energy_total_t3", _WH),
        "EASF04": _tic("energy_total_t4", _WH),
        "EAIT": _tic("energy_exported_total", _WH),
        **dict.fromkeys(("ADCO", "ADSC", "ISOUSC", "IMAX", "MOTDETAT", "VTIC")),
    },
    # The other firmware for Teleinfo: what the meter measures, beside what the contract allows.
    _METER: {
        **dict.fromkeys(("PH", "ISUB", "PSUB", "PMAX", "PP", "PC")),
        "PW": reading(ELECTRICITY, "power_exported"),
        "TDAY": reading(ELECTRICITY, "energy_today", factor=_WH),
        "YDAY": reading(ELECTRICITY, "energy_yesterday", factor=_WH),
        "PTDAY": reading(ELECTRICITY, "energy_exported_today", factor=_WH),
        "PYDAY": None,
    },
    _CONTRACT: {
        "serial": None,
        "CONSO": reading(ELECTRICITY, "energy_total", factor=_WH),
        "PROD": reading(ELECTRICITY, "energy_exported_total", factor=_WH),
    },
    _PRODUCTION: {"W": reading(ELECTRICITY, "power_exported"), "VA": None, "COS": None},
    # A distribution board: its counters are beside the powers, not in ENERGY.
    "SPM": {
        "ActivePower": reading(ELECTRICITY, "power"),
        "Today": reading(ELECTRICITY, "energy_today"),
        "Yesterday": reading(ELECTRICITY, "energy_yesterday"),
    },
    # An air conditioner that quotes its numbers; Power is "on" or "off".
    "MiElHVAC": {
        "Power": None,
        "Temperature": _hvac("temperature"),
        "SetTemperature": _hvac("target_temperature"),
        "OutdoorTemperature": _hvac("outdoor_temperature"),
        "OperationPower": _tic("power"),
        "OperationEnergy": _tic("energy_total"),
    },
    # A water meter by radio, in m3; Flow is the water's temperature.
    "Multical21": {
        "Total": reading(COUNTER, "volume"),
        "Target": None,
        "Flow": None,
        "Ambient": reading(CLIMATE, "temperature"),
        "Rssi": reading(DEVICE, "signal"),
    },
    # A pool: what is installed, supplies, and scales of the controller's own.
    "NeoPool": dict.fromkeys(
        ("Modules", "Powerunit", "Connection", "Ionization", "Conductivity", "Light")
    ),
    # A boiler: degrees Celsius whatever TempUnit says. OT# are numbers of the protocol.
    "OPENTHERM": {
        "TB": reading(CLIMATE, "flow_temperature"),
        "TRET": reading(CLIMATE, "return_temperature"),
        "TDHW": reading(CLIMATE, "hot_water_temperature"),
        "TOUT": reading(CLIMATE, "outdoor_temperature"),
        "FLM": reading(CLIMATE, "modulation"),
        # Bar.
        "OT18": reading(CLIMATE, "pressure", factor=1000),
        "OT19": reading(CLIMATE, "flow_rate"),
        "OT33": reading(CLIMATE, "exhaust_temperature"),
        **dict.fromkeys(("settings", "BTMP", "HWTMP", "ASFF", "OEMD", "DHWS", "TMAX", "BLOR")),
        **dict.fromkeys(("OT10", "OT12", "OT14", "OT15", "OT116", "OT117", "OT120", "OT121")),
    },
    # A battery; its counters are in Wh.
    "Wooliis": {
        "Capacity": reading(BATTERY, "capacity_available"),
        "Charging": flag(STATE, "charging"),
        "Import": reading(BATTERY, "energy_charged_total", factor=_WH),
        "Export": reading(BATTERY, "energy_discharged_total", factor=_WH),
    },
    "GDK101": {"Status": None, "Vibration": flag(STATE, "vibration")},
    **{name: {"Error": None} for name in ("MAX31855", "MAX31865")},
    # Of a pump the last dose; of a flow meter values in a unit that is set.
    "EZOPMP": {"Pump": None},
    "EZOFLO": {"Volume": None, "FlowRate": None},
    "TFAMarbella": {"Counter": None, "BatteryLow": flag(DEVICE, "battery_low"), "LQI": None},
}
"""Stem -> a key's meaning in its objects; None: of no use."""

_POOL: Final = ("Setpoint", "State", "Pump", "FL1", "Tank", "Low", "Redox", "Cover", "Boost")
"""Settings and alarms of a pool's control."""
_HYDROLYSIS: Final = dict.fromkeys((*_POOL, "Max"))

NESTED_DRIVERS: Final[Mapping[str, Mapping[str, SensorReading | None]]] = {
    "pH": {**dict.fromkeys(_POOL), "Data": reading(CLIMATE, "ph")},
    "Redox": {**dict.fromkeys(_POOL), "Data": reading(CLIMATE, "redox")},
    "Chlorine": {**dict.fromkeys(_POOL), "Data": reading(CLIMATE, "chlorine")},
    "Filtration": {"State": flag(SWITCH, "state"), **dict.fromkeys(("Speed", "Mode"))},
    "Hydrolysis %": {**_HYDROLYSIS, "Data": reading(CLIMATE, "hydrolysis")},
    "Hydrolysis g/h": {**_HYDROLYSIS, "Data": reading(CLIMATE, "hydrolysis_rate")},
    "Hydrolysis.Percent": {"Data": reading(CLIMATE, "hydrolysis"), "Setpoint": None},
    "Hydrolysis.Runtime": dict.fromkeys(("Total", "Part", "Pol1", "Pol2", "Changes")),
    # The others say of the same relays what they are for.
    "Relay": {
        "State": flag(SWITCH, "state"),
        **dict.fromkeys(("Aux", "Acid", "Base", "Redox", "Chlorine", "Conductivity")),
        **dict.fromkeys(("Heating", "UV", "Valve")),
    },
    "SLAVE": {
        "FAULT": flag(STATE, "problem"),
        "FL": flag(STATE, "running"),
        "CH": flag(CLIMATE, "active"),
        **dict.fromkeys(("DHW", "COOL", "CH2", "DIAG", "RAW")),
    },
}
"""Objects within those of a driver, by their key, and by the unit that they name."""

NUMBERED_DRIVERS: Final = {
    "TIC": {
        **dict.fromkeys(("PAPP", "SINSTS"), _tic("apparent_power")),
        **dict.fromkeys(("IINST", "IRMS"), _tic("current")),
        "URMS": _tic("voltage"),
    },
    _METER: {
        "U": reading(ELECTRICITY, "voltage"),
        "I": reading(ELECTRICITY, "current"),
        "P": reading(ELECTRICITY, "apparent_power"),
        "W": reading(ELECTRICITY, "power"),
        "C": reading(ELECTRICITY, "power_factor"),
    },
    "Thermostat": {"TempTargetSet": reading(CLIMATE, "target_temperature", ChosenUnit.TEMPERATURE)},
    "DINGTIAN": {"IN": flag(SWITCH, "state")},
}
"""Stem -> keys with a number in their name, a channel each."""


def teleinfo_stem(name: str, content: Mapping[str, object]) -> str:
    """Return the stem in these tables of an object of Teleinfo; empty for any other object."""
    mark, stem = _TELEINFO.get(name, ("", ""))
    return stem if mark in content else ""
