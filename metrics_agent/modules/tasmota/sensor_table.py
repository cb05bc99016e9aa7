"""What the keys inside sensor objects mean: one description a key, whatever the object's name.

Names of objects carry suffixes (``DS18B20-1``, ``SHT3X-44``) or are free texts, so the inner keys
decide. The few objects that give a key another meaning are listed by the stem of their name.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

from metrics_agent.catalogue import (
    BATTERY,
    CLIMATE,
    COUNTER,
    DEVICE,
    ELECTRICITY,
    STATE,
    SWITCH,
    Measurement,
)
from metrics_agent.modules.tasmota.values import ChosenUnit

__all__ = [
    "ENVELOPE",
    "FROM_ZERO",
    "IGNORED_KEYS",
    "IGNORED_OBJECTS",
    "NESTED",
    "NUMBERED",
    "OVERRIDES",
    "READINGS",
    "SensorReading",
    "flag",
    "reading",
]


@frozen
class SensorReading:
    """What one key means.

    Attributes:
        measurement, field: where it goes.
        unit: the quantity, if the user chooses its unit.
        text: the firmware is known to quote this number.
        fraction: the field of a number with decimals, where an integer is something else.
        factor, offset: from the firmware's unit to ours.
        flag: a state, 0 or 1, false or true; ``inverted`` where 1 is our false.
    """

    measurement: str
    field: str
    unit: ChosenUnit | None = None
    text: bool = False
    fraction: str = ""
    factor: float = 1.0
    offset: float = 0.0
    flag: bool = False
    inverted: bool = False


def reading(
    measurement: Measurement,
    field: str,
    unit: ChosenUnit | None = None,
    *,
    text: bool = False,
    fraction: str = "",
    factor: float = 1.0,
    offset: float = 0.0,
) -> SensorReading:
    """Describe a reading; its fields are those of the catalogue."""
    if fraction:
        measurement.key(fraction)
    key = measurement.key(field)
    return SensorReading(measurement.name, key, unit, text, fraction, factor, offset)


def flag(measurement: Measurement, field: str, *, inverted: bool = False) -> SensorReading:
    """Describe a state of two."""
    return SensorReading(measurement.name, measurement.key(field), flag=True, inverted=inverted)


_T: Final = ChosenUnit.TEMPERATURE
_P: Final = ChosenUnit.PRESSURE
_S: Final = ChosenUnit.SPEED

READINGS: Final = {
    # Air.
    "Temperature": reading(CLIMATE, "temperature", _T),
    "Humidity": reading(CLIMATE, "humidity"),
    "DewPoint": reading(CLIMATE, "dew_point", _T),
    "HeatIndex": reading(CLIMATE, "heat_index", _T),
    "aHumidity": reading(CLIMATE, "absolute_humidity"),
    "Pressure": reading(CLIMATE, "pressure", _P),
    "SeaPressure": reading(CLIMATE, "sea_pressure", _P),
    # MLX90614: degrees Celsius whatever TempUnit says.
    "OBJTMP": reading(CLIMATE, "object_temperature"),
    "AMBTMP": reading(CLIMATE, "temperature"),
    # Gases. HC8 quotes its number.
    "CarbonDioxide": reading(CLIMATE, "co2", text=True),
    "eCO2": reading(CLIMATE, "eco2"),
    "TVOC": reading(CLIMATE, "tvoc"),
    "VOC": reading(CLIMATE, "voc_index"),
    "NOx": reading(CLIMATE, "nox_index"),
    "VOC_Raw": reading(CLIMATE, "voc_raw"),
    "NOX_Raw": reading(CLIMATE, "nox_raw"),
    **dict.fromkeys(("HCHO", "Formaldehyde"), reading(CLIMATE, "hcho")),
    "Gas": reading(CLIMATE, "gas_resistance"),
    "AQIS": reading(CLIMATE, "air_quality"),
    "AirQuality": reading(CLIMATE, "air_quality"),
    "US_AQI": reading(CLIMATE, "air_quality"),
    "US_EPA_AQI": reading(CLIMATE, "air_quality_epa"),
    "Oxygen": reading(CLIMATE, "oxygen"),
    "ppO2": reading(CLIMATE, "oxygen_pressure"),
    "RadiationAvg10Min": reading(CLIMATE, "radiation"),
    "RadiationAvg1Min": reading(CLIMATE, "radiation_1min"),
    # Dust: ug/m3, then as calibrated for a factory's air, then particles per decilitre, then
    # (SPS30) per cubic centimetre.
    "PM1": reading(CLIMATE, "pm1"),
    "PM1_0": reading(CLIMATE, "pm1"),
    "PM2.5": reading(CLIMATE, "pm25"),
    "PM2_5": reading(CLIMATE, "pm25"),
    "PM4": reading(CLIMATE, "pm4"),
    "PM4_0": reading(CLIMATE, "pm4"),
    "PM10": reading(CLIMATE, "pm10"),
    "CF1": reading(CLIMATE, "pm1_cf"),
    "CF2.5": reading(CLIMATE, "pm25_cf"),
    "CF10": reading(CLIMATE, "pm10_cf"),
    "PB0.3": reading(CLIMATE, "particles_03"),
    "PB0.5": reading(CLIMATE, "particles_05"),
    "PB1": reading(CLIMATE, "particles_1"),
    "PB2.5": reading(CLIMATE, "particles_25"),
    "PB5": reading(CLIMATE, "particles_5"),
    "PB10": reading(CLIMATE, "particles_10"),
    "NCPM0_5": reading(CLIMATE, "number_pm05"),
    "NCPM1_0": reading(CLIMATE, "number_pm1"),
    "NCPM2_5": reading(CLIMATE, "number_pm25"),
    "NCPM4_0": reading(CLIMATE, "number_pm4"),
    "NCPM10": reading(CLIMATE, "number_pm10"),
    "TYPSIZ": reading(CLIMATE, "particle_size"),
    # Light.
    "Illuminance": reading(CLIMATE, "illuminance", text=True),
    "IR": reading(CLIMATE, "illuminance_infrared"),
    "Infrared": reading(CLIMATE, "illuminance_infrared"),
    "Broadband": reading(CLIMATE, "illuminance_broadband"),
    "WhiteContent": reading(CLIMATE, "illuminance_white"),
    "UvLevel": reading(CLIMATE, "uv_level"),
    "UvIndex": reading(CLIMATE, "uv_index"),
    "UvPower": reading(CLIMATE, "uv_power"),
    # Water; the firmware spells it so.
    "pH": reading(CLIMATE, "ph"),
    "ORP": reading(CLIMATE, "redox"),
    "EC": reading(CLIMATE, "conductivity"),
    "DisolvedOxygen": reading(CLIMATE, "dissolved_oxygen"),
    "Water Depth": reading(CLIMATE, "water_depth"),
    # Soil.
    "Moisture": reading(CLIMATE, "soil_moisture"),
    "Fertility": reading(CLIMATE, "soil_fertility"),
    "Darkness": reading(CLIMATE, "darkness"),
    # Wind; the flat keys are of old versions.
    "Speed": reading(CLIMATE, "wind_speed", _S, text=True),
    "SpeedAvg": reading(CLIMATE, "wind_speed_avg", _S, text=True),
    "SpeedMax": reading(CLIMATE, "wind_speed_max", _S, text=True),
    "Degree": reading(CLIMATE, "wind_angle", text=True),
    # Distance, weight, presence.
    "Distance": reading(CLIMATE, "distance"),
    "Weight": reading(CLIMATE, "weight"),
    "People": reading(CLIMATE, "people"),
    # At the top of a message, as old versions sent it.
    "Analog0": reading(CLIMATE, "analog"),
    # Detectors at a Bluetooth bridge: 1 is open.
    "Door": flag(STATE, "contact", inverted=True),
    "Motion": flag(STATE, "occupancy"),
    "PIR": flag(STATE, "occupancy"),
    "Flooding": flag(STATE, "water_leak"),
    # A battery by CAN bus (MCP2515).
    "SOC": reading(BATTERY, "charge"),
    "SOH": reading(BATTERY, "health"),
    "BattVolt": reading(BATTERY, "voltage"),
    "BattAmp": reading(BATTERY, "current"),
    "BattTemp": reading(BATTERY, "temperature"),
    "CellVoltMin": reading(BATTERY, "cell_voltage_min", factor=0.001),
    "CellVoltMax": reading(BATTERY, "cell_voltage_max", factor=0.001),
    "CellTempLow": reading(BATTERY, "cell_temperature_min", offset=-273.15),
    "CellTempHigh": reading(BATTERY, "cell_temperature_max", offset=-273.15),
    # Electricity beside ENERGY. "Energy" is read only where power or voltage are beside it.
    "Power": reading(ELECTRICITY, "power"),
    "Voltage": reading(ELECTRICITY, "voltage"),
    "Current": reading(ELECTRICITY, "current"),
    "Frequency": reading(ELECTRICITY, "frequency"),
    "Factor": reading(ELECTRICITY, "power_factor"),
    "ApparentPower": reading(ELECTRICITY, "apparent_power"),
    "ReactivePower": reading(ELECTRICITY, "reactive_power"),
    "Energy": reading(ELECTRICITY, "energy_total"),
    # The sensor itself.
    "Battery": reading(DEVICE, "battery"),
    "BatteryPercentage": reading(DEVICE, "battery"),
    "RSSI": reading(DEVICE, "signal"),
    "ChipTemperature": reading(DEVICE, "temperature"),
    # MAX31855: of the chip, beside the probe's.
    "ReferenceTemperature": reading(DEVICE, "temperature", _T),
    "LinkQuality": reading(DEVICE, "link_quality"),
}

_FLOW_METER: Final[dict[str, SensorReading | None]] = {
    "Rate": reading(CLIMATE, "flow_rate", ChosenUnit.FLOW),
    "AmountToday": reading(COUNTER, "volume_today", ChosenUnit.AMOUNT),
}

# A key's meaning in objects of that stem, before the table above; None: of no use.
OVERRIDES: Final[dict[str, dict[str, SensorReading | None]]] = {
    "ESP32": {"Temperature": reading(DEVICE, "temperature", _T)},
    "AS3935": {
        "Distance": reading(CLIMATE, "lightning_distance"),
        "Energy": reading(CLIMATE, "lightning_energy"),
        "Event": None,
        "Stage": None,
    },
    # Radar: the energy of an echo, 0 to 100 for each gate.
    "LD2410": {"Energy": None},
    "LD2410S": {"Energy": None},
    "LD2402": {"Energy": None},
    # What these call TVOC is the index of the gas algorithm, no concentration.
    **{
        stem: {"TVOC": reading(CLIMATE, "voc_index"), "VOC": reading(CLIMATE, "voc_index")}
        for stem in ("SGP40", "SGP41", "SGP4X")
    },
    "MS01": {"Raw": reading(CLIMATE, "soil_moisture_raw")},
    "MAX17043": {"Voltage": reading(DEVICE, "battery_voltage")},
    "TuyaSNS": {
        "Gas": reading(CLIMATE, "gas_lel"),
        # ppm.
        "TVOC": reading(CLIMATE, "tvoc", factor=1000),
    },
    # hPa whatever PressureUnit says.
    "LOX": {"Pressure": reading(CLIMATE, "pressure")},
    "MGS": {
        "NH3": reading(CLIMATE, "ammonia"),
        "CO": reading(CLIMATE, "carbon_monoxide"),
        "NO2": reading(CLIMATE, "nitrogen_dioxide"),
        "C3H8": reading(CLIMATE, "propane"),
        "C4H10": reading(CLIMATE, "butane"),
        "CH4": reading(CLIMATE, "methane"),
        "H2": reading(CLIMATE, "hydrogen"),
        "C2H5OH": reading(CLIMATE, "ethanol"),
    },
    # Rain.
    "RG": {
        "Active": reading(CLIMATE, "rain"),
        "Event": reading(CLIMATE, "rain_event"),
        "Total": reading(CLIMATE, "rain_total"),
        "FlowRate": reading(CLIMATE, "rain_rate"),
    },
    "AlectoV2": {
        "Rain": reading(CLIMATE, "rain_total"),
        "Wind": reading(CLIMATE, "wind_speed"),
        "Gust": reading(CLIMATE, "gust_speed"),
    },
    # Gallons of the US.
    "HRE": {
        "TotalUsage": reading(COUNTER, "volume", factor=0.003785411784),
        "FlowRate": reading(CLIMATE, "flow_rate", factor=3.785411784),
    },
    # The name is translated.
    "Flowrate": _FLOW_METER,
    "Durchflussmesser": _FLOW_METER,
}

# Objects within objects: a prefix by the outer key, then what the inner key means.
NESTED: Final = {
    "Speed": {
        "Act": reading(CLIMATE, "wind_speed", _S, text=True),
        "Avg": reading(CLIMATE, "wind_speed_avg", _S, text=True),
        "Min": reading(CLIMATE, "wind_speed_min", _S, text=True),
        "Max": reading(CLIMATE, "wind_speed_max", _S, text=True),
    },
    "Dir": {
        "Deg": reading(CLIMATE, "wind_angle", text=True),
        "Avg": reading(CLIMATE, "wind_angle_avg", text=True),
    },
    "CTEnergy": {
        "Energy": reading(ELECTRICITY, "energy_total"),
        "Power": reading(ELECTRICITY, "power"),
        "Voltage": reading(ELECTRICITY, "voltage"),
        "Current": reading(ELECTRICITY, "current"),
    },
}

# Keys with a number in their name: a channel each. By the stem of the object.
NUMBERED: Final = {
    "ANALOG": {
        "A": reading(CLIMATE, "analog"),
        "Range": reading(CLIMATE, "analog"),
        "pH": reading(CLIMATE, "ph"),
        "MQ": reading(CLIMATE, "gas"),
        **{
            key: READINGS[key]
            for key in ("Temperature", "Illuminance", "Voltage", "Current", "Power", "Energy")
        },
    },
    # CounterType 1 counts time: seconds, always with decimals.
    "COUNTER": {"C": reading(COUNTER, "count", fraction="duration")},
    "Shutter": {"Position": reading(SWITCH, "position")},
    "ADS1115": {"A": reading(CLIMATE, "analog")},
    # Port expanders.
    "MCP230XX": {"D": flag(SWITCH, "state")},
    "PCF8574": {"D": flag(SWITCH, "state")},
}

FROM_ZERO: Final = frozenset({"ADS1115", "MCP230XX", "PCF8574"})
"""Objects whose first input is 0. Of ANALOG that is the only one, or the first is 1."""

IGNORED_KEYS: Final = frozenset(
    {
        *("Id", "Model", "Raw", "WeightRaw", "AbsRaw", "Resistance", "UvIndexText", "Alert"),
        *("Firmware", "MAC", "Device", "Name", "Endpoint", "Group", "Direction", "Target", "Tilt"),
        *("Card", "AvgCard", "Min", "Max", "Range", "Update threshold", "Event", "Stage", "Time"),
        *("Red", "Green", "Blue", "MaxVoltage", "MinVoltage", "MaxChargeAmp", "MaxDischargeAmp"),
        *("ModulesOk", "ModulesBlockingCharge", "ModulesBlocking", "ModulesOffline"),
    }
)
"""Known, and of no use as a field: texts, addresses, raw values of what is there in a unit."""

ENVELOPE: Final = frozenset({"Time", "Epoch", "TempUnit", "PressureUnit", "SpeedUnit"})
"""What a message has at its top beside objects and readings."""

IGNORED_OBJECTS: Final = frozenset(
    {
        # A copy of another sensor (SetOption2): it must not count twice.
        "Global",
        # Events, not measurements.
        *("PN532", "RDM6300", "RC522", "RfReceived", "IrReceived", "GM861", "MtrReceived"),
        # Of one beacon after another in one object.
        *("IBEACON", "Wiegand"),
        *(f"Button{number}" for number in range(1, 33)),
        # What a Zigbee bridge says of itself, and what it remembers of its devices: of any age.
        *("ZbInfo", "ZbState", "ZbStatus1", "ZbStatus2", "ZbStatus3", "ZbResponse", "ZbLight"),
        *("ZbBind", "ZbUnbind", "ZbLeave", "ZbParent", "ZbMap", "ZbScan", "ZbData"),
        # Beside a Zigbee device's attributes (SetOption119).
        *("ConfigResponse", "ReadNames", "WriteResponse"),
    }
)
