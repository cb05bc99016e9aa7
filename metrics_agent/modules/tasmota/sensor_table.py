"""What the keys inside sensor objects mean: one description a key, whatever the object's name.

Names of objects carry suffixes (``DS18B20-1``, ``SHT3X-44``) or are free texts, so the inner keys
decide. The few objects that give a key another meaning are listed by the stem of their name.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from metrics_agent.catalogue import CLIMATE, COUNTER, DEVICE, ELECTRICITY, SWITCH, Measurement
from metrics_agent.modules.tasmota.values import Unit

__all__ = [
    "IGNORED_KEYS",
    "IGNORED_OBJECTS",
    "NESTED",
    "NUMBERED",
    "OVERRIDES",
    "READINGS",
    "Reading",
]


@frozen
class Reading:
    """What one key means.

    Attributes:
        measurement, field: where it goes.
        unit: the quantity, if the user chooses its unit.
        text: the firmware is known to quote this number.
        fraction: the field of a number with decimals, where an integer is something else.
    """

    measurement: str
    field: str
    unit: Unit | None = None
    text: bool = False
    fraction: str = ""


def _reading(
    measurement: Measurement,
    field: str,
    unit: Unit | None = None,
    *,
    text: bool = False,
    fraction: str = "",
) -> Reading:
    if fraction:
        measurement.key(fraction)
    return Reading(measurement.name, measurement.key(field), unit, text, fraction)


_T: Final = Unit.TEMPERATURE
_P: Final = Unit.PRESSURE
_S: Final = Unit.SPEED

READINGS: Final = {
    # Air.
    "Temperature": _reading(CLIMATE, "temperature", _T),
    "Humidity": _reading(CLIMATE, "humidity"),
    "DewPoint": _reading(CLIMATE, "dew_point", _T),
    "HeatIndex": _reading(CLIMATE, "heat_index", _T),
    "aHumidity": _reading(CLIMATE, "absolute_humidity"),
    "Pressure": _reading(CLIMATE, "pressure", _P),
    "SeaPressure": _reading(CLIMATE, "sea_pressure", _P),
    # MLX90614: degrees Celsius whatever TempUnit says.
    "OBJTMP": _reading(CLIMATE, "object_temperature"),
    "AMBTMP": _reading(CLIMATE, "temperature"),
    # Gases. HC8 quotes its number.
    "CarbonDioxide": _reading(CLIMATE, "co2", text=True),
    "eCO2": _reading(CLIMATE, "eco2"),
    "TVOC": _reading(CLIMATE, "tvoc"),
    "VOC": _reading(CLIMATE, "voc_index"),
    "NOx": _reading(CLIMATE, "nox_index"),
    "VOC_Raw": _reading(CLIMATE, "voc_raw"),
    "NOX_Raw": _reading(CLIMATE, "nox_raw"),
    "Gas": _reading(CLIMATE, "gas_resistance"),
    "AQIS": _reading(CLIMATE, "air_quality"),
    "US_AQI": _reading(CLIMATE, "air_quality"),
    # Dust: ug/m3, then as calibrated for a factory's air, then particles per decilitre, then
    # (SPS30) per cubic centimetre.
    "PM1": _reading(CLIMATE, "pm1"),
    "PM1_0": _reading(CLIMATE, "pm1"),
    "PM2.5": _reading(CLIMATE, "pm25"),
    "PM2_5": _reading(CLIMATE, "pm25"),
    "PM4": _reading(CLIMATE, "pm4"),
    "PM4_0": _reading(CLIMATE, "pm4"),
    "PM10": _reading(CLIMATE, "pm10"),
    "CF1": _reading(CLIMATE, "pm1_cf"),
    "CF2.5": _reading(CLIMATE, "pm25_cf"),
    "CF10": _reading(CLIMATE, "pm10_cf"),
    "PB0.3": _reading(CLIMATE, "particles_03"),
    "PB0.5": _reading(CLIMATE, "particles_05"),
    "PB1": _reading(CLIMATE, "particles_1"),
    "PB2.5": _reading(CLIMATE, "particles_25"),
    "PB5": _reading(CLIMATE, "particles_5"),
    "PB10": _reading(CLIMATE, "particles_10"),
    "NCPM0_5": _reading(CLIMATE, "number_pm05"),
    "NCPM1_0": _reading(CLIMATE, "number_pm1"),
    "NCPM2_5": _reading(CLIMATE, "number_pm25"),
    "NCPM4_0": _reading(CLIMATE, "number_pm4"),
    "NCPM10": _reading(CLIMATE, "number_pm10"),
    "TYPSIZ": _reading(CLIMATE, "particle_size"),
    # Light.
    "Illuminance": _reading(CLIMATE, "illuminance", text=True),
    "IR": _reading(CLIMATE, "illuminance_infrared"),
    "Broadband": _reading(CLIMATE, "illuminance_broadband"),
    "WhiteContent": _reading(CLIMATE, "illuminance_white"),
    "UvLevel": _reading(CLIMATE, "uv_level"),
    "UvIndex": _reading(CLIMATE, "uv_index"),
    "UvPower": _reading(CLIMATE, "uv_power"),
    # Soil.
    "Moisture": _reading(CLIMATE, "soil_moisture"),
    "Fertility": _reading(CLIMATE, "soil_fertility"),
    "Darkness": _reading(CLIMATE, "darkness"),
    # Wind; the flat keys are of old versions.
    "Speed": _reading(CLIMATE, "wind_speed", _S, text=True),
    "SpeedAvg": _reading(CLIMATE, "wind_speed_avg", _S, text=True),
    "SpeedMax": _reading(CLIMATE, "wind_speed_max", _S, text=True),
    "Degree": _reading(CLIMATE, "wind_angle", text=True),
    # Distance, weight, presence.
    "Distance": _reading(CLIMATE, "distance"),
    "Weight": _reading(CLIMATE, "weight"),
    "People": _reading(CLIMATE, "people"),
    # Electricity beside ENERGY. "Energy" is read only where power or voltage stand beside it.
    "Power": _reading(ELECTRICITY, "power"),
    "Voltage": _reading(ELECTRICITY, "voltage"),
    "Current": _reading(ELECTRICITY, "current"),
    "Frequency": _reading(ELECTRICITY, "frequency"),
    "Factor": _reading(ELECTRICITY, "power_factor"),
    "ApparentPower": _reading(ELECTRICITY, "apparent_power"),
    "ReactivePower": _reading(ELECTRICITY, "reactive_power"),
    "Energy": _reading(ELECTRICITY, "energy_total"),
    # The sensor itself.
    "Battery": _reading(DEVICE, "battery"),
    "BatteryPercentage": _reading(DEVICE, "battery"),
    "RSSI": _reading(DEVICE, "signal"),
    "LinkQuality": _reading(DEVICE, "link_quality"),
}

# A key's meaning in objects of that stem, before the table above; None: of no use.
OVERRIDES: Final[dict[str, dict[str, Reading | None]]] = {
    "ESP32": {"Temperature": _reading(DEVICE, "temperature", _T)},
    "AS3935": {
        "Distance": _reading(CLIMATE, "lightning_distance"),
        "Energy": _reading(CLIMATE, "lightning_energy"),
        "Event": None,
        "Stage": None,
    },
    # Radar: the energy of an echo, 0 to 100 for each gate.
    "LD2410": {"Energy": None},
    "LD2410S": {"Energy": None},
    "LD2402": {"Energy": None},
    # What these call TVOC is the index of the gas algorithm, no concentration.
    **{
        stem: {"TVOC": _reading(CLIMATE, "voc_index"), "VOC": _reading(CLIMATE, "voc_index")}
        for stem in ("SGP40", "SGP41", "SGP4X")
    },
    "MS01": {"Raw": _reading(CLIMATE, "soil_moisture_raw")},
    "MAX17043": {"Voltage": _reading(DEVICE, "battery_voltage")},
}

# Objects within objects: a prefix by the outer key, then what the inner key means.
NESTED: Final = {
    "Speed": {
        "Act": _reading(CLIMATE, "wind_speed", _S, text=True),
        "Avg": _reading(CLIMATE, "wind_speed_avg", _S, text=True),
        "Min": _reading(CLIMATE, "wind_speed_min", _S, text=True),
        "Max": _reading(CLIMATE, "wind_speed_max", _S, text=True),
    },
    "Dir": {
        "Deg": _reading(CLIMATE, "wind_angle", text=True),
        "Avg": _reading(CLIMATE, "wind_angle_avg", text=True),
    },
    "CTEnergy": {
        "Energy": _reading(ELECTRICITY, "energy_total"),
        "Power": _reading(ELECTRICITY, "power"),
        "Voltage": _reading(ELECTRICITY, "voltage"),
        "Current": _reading(ELECTRICITY, "current"),
    },
}

# Keys with a number in their name: a channel each. By the stem of the object.
NUMBERED: Final = {
    "ANALOG": {
        "A": _reading(CLIMATE, "analog"),
        "Range": _reading(CLIMATE, "analog"),
        "pH": _reading(CLIMATE, "ph"),
        "MQ": _reading(CLIMATE, "gas"),
        **{
            key: READINGS[key]
            for key in ("Temperature", "Illuminance", "Voltage", "Current", "Power", "Energy")
        },
    },
    # CounterType 1 counts time: seconds, always with decimals.
    "COUNTER": {"C": _reading(COUNTER, "count", fraction="duration")},
    "Shutter": {"Position": _reading(SWITCH, "position")},
}

IGNORED_KEYS: Final = frozenset(
    {
        *("Id", "Model", "Raw", "WeightRaw", "AbsRaw", "Resistance", "UvIndexText", "Alert"),
        *("Firmware", "MAC", "Device", "Name", "Endpoint", "Group", "Direction", "Target", "Tilt"),
        *("Card", "AvgCard", "Min", "Max", "Range", "Update threshold", "Event", "Stage", "Time"),
    }
)
"""Known, and of no use as a field: texts, addresses, raw values of what is there in a unit."""

IGNORED_OBJECTS: Final = frozenset(
    {
        # A copy of another sensor (SetOption2): it must not count twice.
        "Global",
        # Events, not measurements.
        *("PN532", "RDM6300", "RC522", "RfReceived", "IrReceived", "GM861", "MtrReceived"),
    }
)
