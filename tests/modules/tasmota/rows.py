"""What Tasmota devices send, row by row, and the golden cases that show it.

The rows are those of the tables and lists of the notes on the firmware that the module was built
from. `test_cases` sees to it that no row is without a case and no case without a row, and that all
that a row names (objects, keys, texts) does occur in the messages of its cases.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TABLES", "Row"]


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        cases: folders in ``cases``.
        words: what must begin a text or key in the messages of these cases.
    """

    cases: tuple[str, ...]
    words: tuple[str, ...] = ()


def _row(cases: str, words: str = "") -> Row:
    return Row(tuple(cases.split()), tuple(words.split(", ")) if words else ())


def _phases(cases: str, patterns: str, codes: str) -> Row:
    """Describe what has a key for each phase: patterns with ``#``, and OBIS codes."""
    names = [pattern.replace("#", str(n)) for pattern in patterns.split(", ") for n in (1, 2, 3)]
    return Row((cases,), (*names, *codes.split(", ")))


TIME = {
    "TimeFormat 0, local": _row("time_local", "2025-02-11T07:30:00"),
    "TimeFormat 1, Epoch": _row("time_epoch", "Time, Epoch"),
    "TimeFormat 2, a number": _row("time_number", "Time"),
    "TimeFormat 3, milliseconds": _row("time_milliseconds", "2023-11-14T12:00:00.123"),
    "SetOption52, offset": _row("time_offset", "2023-11-14T22:00:00.500+02:00, Epoch"),
    "before NTP, versions 5 and 6": _row("time_before_ntp", "1970-01-01, 2018.02.15 01:00:50"),
}

ENERGY = {
    "TotalStartTime": _row("energy_total_start_time energy_scalar", "TotalStartTime"),
    "Total": _row("energy_total energy_two_channels energy_three_phases_setoption129", "Total"),
    "TotalTariff": _row("energy_total_tariff", "TotalTariff"),
    "Yesterday, Today": _row("energy_yesterday_today", "Yesterday, Today"),
    "ExportActive": _row("energy_export_active", "ExportActive"),
    "ExportTariff": _row("energy_export_tariff", "ExportTariff"),
    "TodaySumImport, TodaySumExport": _row("energy_today_sums", "TodaySumImport, TodaySumExport"),
    "ImportActive, ImportReactive, ExportReactive": _row(
        "energy_import_reactive", "ImportActive, ImportReactive, ExportReactive"
    ),
    "Period": _row("energy_period", "Period"),
    "Power": _row("energy_power", "Power"),
    "ApparentPower, ReactivePower": _row(
        "energy_apparent_reactive", "ApparentPower, ReactivePower"
    ),
    "Factor": _row("energy_factor", "Factor"),
    "Frequency": _row("energy_frequency", "Frequency"),
    "Voltage": _row("energy_voltage", "Voltage"),
    "Current": _row("energy_current", "Current"),
    "CurrentNeutral": _row("energy_current_neutral", "CurrentNeutral"),
    "driver extras": _row(
        "energy_driver_extras",
        "PhaseAngle, MaxPower, ResetTotalActive, TotalActive, TotalReactive, ImportPower, "
        "ExportPower, Load, Address, SolarPower, Pv1Voltage",
    ),
    "nested BL09XX, BL0906": _row("energy_nested_chip", "BL09XX, BL0906"),
    "inverters": _row(
        "energy_of_inverters", "SolarPower, Pv1Voltage, Temperature, Voltage battery"
    ),
    "up to 8 channels on ESP32": _row("energy_eight_channels"),
    "sum beside channels": _row("counters_of_channels"),
    "EnergyTotal replies": _row("energy_total_reply", "EnergyTotal, EnergyToday, EnergyYesterday"),
    "mapped keys of ENERGY": _row("energy_mapped"),
    "integers and floats": _row("energy_integers_are_floats"),
    "Teleinfo": _row("energy_teleinfo meter_mapping", "TIC"),
}

SENSORS = {
    "AM2301 and its like": _row(
        "sensor_temperature_humidity",
        "AM2301, DHT11, DHT22, SI7021, SHT1X, SHT3X, SHT4X, HTU21, AHT1X, AHT2X, AHT3X, HDC1080, "
        "HYT, ENS210, Temperature, Humidity, DewPoint, HeatIndex",
    ),
    "MS01": _row("sensor_ms01", "MS01, Humidity, Raw"),
    "DS18B20 and its like": _row(
        "sensor_ds18b20", "DS18B20, DS18S20, DS1822, MAX31850, DS18Sens-7, Boiler, Id"
    ),
    "BMP280 and its like": _row(
        "sensor_bmp280", "BMP180, BMP280, SPL06, QMP6988, LPS35HW, Pressure, SeaPressure"
    ),
    "BME280, BME68X": _row("sensor_bme680 sensor_units", "BME280, BME680, BME68X, Gas"),
    "SCD30, SCD40": _row("sensor_scd40", "SCD30, SCD40, CarbonDioxide, eCO2, DewPoint"),
    "MHZ19B": _row("sensor_mhz19b", "MHZ19B, Model, CarbonDioxide"),
    "S8, SAIR, C8-CO2": _row("sensor_senseair", "S8, SAIR, C8-CO2"),
    "HC8": _row("sensor_hc8", "HC8, 612"),
    "CCS811, SGP30, IAQ, ENS16X": _row(
        "sensor_tvoc", "CCS811, SGP30, IAQ, ENS16X, eCO2, TVOC, aHumidity, Resistance, AQIS"
    ),
    "SGP40, SGP41": _row("sensor_sgp41", "SGP40, SGP41, VOC_Raw, NOX_Raw, TVOC, VOC, NOx"),
    "BH1750 and its like": _row(
        "sensor_light",
        "BH1750, TSL2561, TSL2591, MAX44009, VEML7700, Illuminance, IR, Broadband, WhiteContent",
    ),
    "PMS5003, PMSA003I": _row(
        "sensor_pms5003",
        "PMS3003, PMS5003, PMS7003, PMSA003I, CF1, CF2.5, CF10, PM1, PM2.5, PM10, PB0.3, PB0.5, "
        "PB1, PB2.5, PB5, PB10, US_AQI",
    ),
    "SDS0X1, HPMA": _row("sensor_sds0x1", "SDS0X1, HPMA, PM2.5, PM10"),
    "SPS30": _row(
        "sensor_sps30",
        "SPS30, PM1_0, PM2_5, PM4_0, PM10, NCPM0_5, NCPM1_0, NCPM2_5, NCPM4_0, NCPM10, TYPSIZ",
    ),
    "SEN5X, SEN6X": _row("sensor_sen5x", "SEN5X, SEN6X, PM1, PM2.5, PM4, PM10, NOx, VOC"),
    "VINDRIKTNING": _row("sensor_vindriktning", "VINDRIKTNING"),
    "ANALOG": _row(
        "sensor_analog",
        "ANALOG, A0, A1, Temperature1, Illuminance2, Range3, pH4, MQ135_1, Voltage2, Current1, "
        "CTEnergy1, Energy",
    ),
    "COUNTER": _row("sensor_counter", "COUNTER, C1, C8"),
    "HX711": _row("sensor_hx711", "HX711, Weight, WeightRaw, AbsRaw"),
    "SR04, VL53L0X and their like": _row(
        "sensor_distance", "SR04, VL53L0X_1, VL53L1X, ME007, TOF10120, Distance"
    ),
    "LD2410": _row("sensor_ld2410", "LD2410, Distance, Energy"),
    "LD2410S, LD2402": _row("sensor_ld2402", "LD2410S, LD2402, People, Energy, Update threshold"),
    "AS3935": _row("sensor_as3935", "AS3935, Event, Distance, Energy, Stage"),
    "INA219, INA226": _row("sensor_ina219", "INA219-1, INA219-41, INA226, Id"),
    "INA3221": _row("sensor_ina3221", "INA3221, 0x40, Voltage, Current, Power"),
    "TX20, TX22, TX23": _row(
        "sensor_tx23",
        "TX20, TX22, TX23, Speed, Act, Avg, Min, Max, Dir, Card, Deg, AvgCard, Range, SpeedAvg, "
        "SpeedMax, Direction, Degree",
    ),
    "MLX90614": _row("sensor_mlx90614", "MLX90614, OBJTMP, AMBTMP"),
    "VEML6070, VEML6075": _row(
        "sensor_veml6075", "VEML6070, VEML6075, UvLevel, UvIndex, UvIndexText, UvPower"
    ),
    "CHIRP": _row("sensor_chirp", "CHIRP0, CHIRP1, CHIRP2, Moisture, Darkness, sleeping"),
    "MAX17043": _row("sensor_max17043", "MAX17043, Voltage, BatteryPercentage, Alert"),
    "ESP32": _row("sensor_esp32", "ESP32"),
    "Global": _row("sensor_global", "Global"),
    "BLE": _row(
        "sensor_ble",
        "LYWSD03-52680f, Flora-, MJ_HT_V1-, Moisture, Fertility, Battery, Firmware, RSSI, MAC",
    ),
    "ZbReceived": _row("sensor_zbreceived topic_zigbee", "ZbReceived, 0x5ADF, Name, LinkQuality"),
    "Zigbee plugs and lamps": _row(
        "zigbee_plug",
        "Power, ActivePower, RMSVoltage, RMSCurrent, EnergyTotal, CurrentSummationDelivered, "
        "Dimmer, CT, 0006!01, 0006/4001, Xiaomi",
    ),
    "Zigbee detectors": _row(
        "zigbee_detectors",
        "Contact, Occupancy, Water, Fire, CO, BatteryVoltage, BatteryPercentage, LocalTemperature, "
        "PIHeatingDemand, OccupiedHeatingSetpoint, TuyaTempTarget, TuyaValvePosition, FlowRate, "
        "GlassBreak, AqaraTemperature",
    ),
    "Zigbee names, SetOption83, 100, 119": _row(
        "zigbee_names", "IEEEAddr, ZbInfo, ZbState, ReadNames, ConfigResponse"
    ),
    "values at the top": _row(
        "top_level", "Temperature, Humidity, Light, Analog0, ADS1115, A0, Total_in"
    ),
    "Switch1..28, SwitchText": _row("sensor_switches", "Switch1, Switch28, Door"),
    "events": _row(
        "sensor_events", "PN532, RDM6300, RC522, RfReceived, IrReceived, GM861, IBEACON, Button1"
    ),
    "TuyaSNS and other mixed ones": _row("sensor_mixed", "TuyaSNS, MtrReceived, MCP230XX, PCF8574"),
    "water, rain": _row(
        "sensor_water",
        "ADS1115, Flowrate, Durchflussmesser, HRE, pH, ORP, EC, DisolvedOxygen, Oxygen, MS5837, "
        "Water Depth, RG-15, AlectoV2",
    ),
    "NeoPool": _row(
        "sensor_neopool", "NeoPool, Redox, Chlorine, Filtration, Hydrolysis, %, g/h, Relay"
    ),
    "gases, radiation": _row(
        "sensor_gases", "MGS, LOX, GDK101, SI1145, US_EPA_AQI, TuyaSNS, Gas, SonoffSC"
    ),
    "port expanders": _row("sensor_expanders", "MCP230XX, PCF8574-1, D0"),
    "batteries by CAN bus": _row(
        "sensor_can_battery", "SOC, SOH, BattVolt, BattAmp, BattTemp, CellTempLow, Wooliis"
    ),
    "OpenTherm": _row("sensor_opentherm", "OPENTHERM, TB, TRET, TDHW, TOUT, FLM, SLAVE, OT18"),
    "Teleinfo, TIC": _row("sensor_teleinfo", "TIC, HCHC, HCHP, PAPP, EAST, SINSTS"),
    "Teleinfo, METER": _row("teleinfo_meter", "METER, PSUB, W1, C1, TDAY, CONTRACT, CONSO, PROD"),
    "SEN6x, STCC4, Marbella, Multical21, WTS01, MLX90640": _row(
        "driver_new_sensors", "SEN69C, HCHO, STCC4, TFAMarbella, Multical21, WTS01, MLX90640"
    ),
    "air conditioners, thermostats": _row("driver_hvac", "MiElHVAC, Thermostat0, TempTargetSet"),
    "SPM, DINGTIAN": _row("driver_power_strip", "SPM, Today, DINGTIAN"),
    "Bluetooth detectors": _row("sensor_bluetooth_detectors", "Door, Motion, PIR, Flooding"),
    "LoRaWAN": _row("lorawan", "LwReceived, LwDecoded, DoorOpen, Battery"),
    "TempUnit, PressureUnit, SpeedUnit": _row(
        "sensor_units sensor_tx23", "C, F, hPa, mmHg, inHg, m/s, km/h, kn, mph, ft/s, yd/s"
    ),
    "Shutter": _row("sensor_shutter", "Shutter1, Position, Direction, Target, Tilt"),
}

STATE = {
    "STATE": _row(
        "state",
        "Uptime, UptimeSec, BatteryPercentage, Vcc, Heap, SleepMode, Sleep, LoadAvg, MqttCount, "
        "Berry, POWER, POWER1, POWER2, Dimmer, Color, HSBColor, White, CT, Channel, Scheme, Fade, "
        "Speed, LedTable, FanSpeed, PWM, Wifi, AP, SSId, BSSId, Mode, RSSI, Signal, LinkCount, "
        "Downtime, Hostname, IPAddress",
    ),
    "outputs that are dimmed by themselves": _row(
        "state_of_lamps", "Dimmer1, Dimmer2, White, Channel3"
    ),
    "renamed state texts": _row("state_renamed_power", "AUS, AN, ON"),
}

METERS = {
    "import total": _row(
        "meter_import_total",
        "Total_in, E_in, total_in, 1_8_0, energy_imported, total_kwh, Zaehlerstand, Bezug, "
        "counter_pos, Total, total, energy",
    ),
    "export total": _row(
        "meter_export_total",
        "Total_out, E_out, total_out, 2_8_0, energy_exported, Einspeisung, counter_neg",
    ),
    "power": _row(
        "meter_power",
        "Power_curr, power, Power_cur, Power, P, curr_w, power_curr, Leistung, 16_7_0, 1_7_0",
    ),
    "per phase power": _phases(
        "meter_phase_power", "Power_p#, Power_P#, Power_L#, P_L#, L#", "36_7_0, 56_7_0, 76_7_0"
    ),
    "voltage": _phases(
        "meter_voltage", "Volt_p#, Voltage_L#, Voltage_P#, Spannung_L#", "32_7_0, 52_7_0, 72_7_0"
    ),
    "current": _phases(
        "meter_current", "Curr_p#, Current_L#, Current_P#, Amperage_p#", "31_7_0, 51_7_0, 71_7_0"
    ),
    "other": _row(
        "meter_other",
        "frequency, freq, HZ, 14_7_0, phase_angle_p1, phase_angle_p2, phase_angle_p3, meter_id, "
        "Meter_number, Meter_Number, Server_ID, Count",
    ),
    "names of the ready-made scripts": _row(
        "meter_import_active",
        "ImportActive, ExportActive, ImportReactive, ExportReactive, Today, Yesterday, PhaseAngle, "
        "ActivePower",
    ),
    "case, separators and phases": _row(
        "meter_spellings",
        "Watt_L1, Volt_L2, Amperage_L3, P1, U2, I3, I_L1, curr_L2, amp_p3, Volt_L1_curr, "
        "Active_power_L1, TotalIn, TotalOut",
    ),
    "OBIS with dots, dashes and whole; tariffs": _row(
        "meter_obis", "1-0:1.8.0*255, 32.7.0, 16-7-0, energy_import_t4, E_inHT"
    ),
    "units that cannot be known": _row(
        "meter_unit_unknown", "1_7_0, 21_7_0, power_in, power_out, Power_Total, l1"
    ),
    "units that are set": _row("meter_unit_set"),
    "an object is judged by all its keys": _row("meter_or_sensor", "RG-15, HX711, ApparentPower"),
    "gPlug": _row("meter_gplug", "Pi, Po, P1i, Ei, Ei1, Eo, Eo2"),
    "between phases": _row("meter_between_phases", "V_L1-L2, U12, Volt_L1_L2, UL13, V12"),
    "statistics and limits": _row(
        "meter_statistics", "total_1d, total_365d, total_reset, 1-5-0, 1_6_1, current_limit_1"
    ),
    "tariffs by day and night": _row("meter_day_and_night", "Total_day, Total_night"),
    "more names of the public scripts": _row(
        "meter_more_names", "P_L1_L2_L3, zaehler_a-, EC_CounterVal, mainsv, Tariflos, Pp, Pm"
    ),
    "names that are read word by word": _row(
        "meter_words",
        "VolL1, CurL2, ActPowExp, TotEneT3, Wirkenergie.plus, L1ActivePower, ELZ_PV_1.8.0, C.8.0",
    ),
    "several parts in one object": _row("meter_parts", "A_power, ivolt, PowerB, Watt_L1B"),
    "free names, mapped": _row("meter_mapping"),
    "0 until the first telegram": _row("meter_before_first_telegram"),
}

REJECT = {
    "null, nan, inf": _row("reject_null"),
    "empty and truncated payloads": _row("reject_empty_and_truncated"),
    "wraps and jumps of counters": _row("pass_counter_wraps"),
    "negative zero, 85.0, -127, zero totals, 0 K": _row("reject_sentinels sensor_ds18b20"),
    "numbers as texts": _row("reject_text_numbers meter_mapping", "612, 12.5, 012345678"),
    "arrays shorter, scalars for arrays, Total as an object": _row("reshape_arrays", "Phase1"),
    "Energy that is not kWh": _row("energy_is_not_always_kwh", "LD2410, AS3935"),
}

TOPICS = {
    "%topic%/%prefix%/": _row("topic_order", "%topic%/%prefix%/"),
    "# and // in a FullTopic": _row("topic_home", "home//%prefix%/%topic%#/"),
    "prefixes": _row("topic_prefixes", "befehl, status, daten"),
    "no %prefix%": _row("topic_without_prefix", "%topic%/"),
    "topic with a slash": _row("topic_with_slash", "house/plug"),
    "%id% both ways": _row("topic_id_whole", "%prefix%/%id%/"),
    "%hostname%": _row("topic_hostname", "%prefix%/%hostname%/"),
    "topics from the settings": _row("topic_from_settings"),
    "topics that are not read": _row("topics_not_read", "Info1, Info2, Info3, Margins"),
    "before the announcement": _row("before_the_announcement"),
    "removal by an empty payload": _row("removed_device"),
    "all keys of an announcement": _row(
        "discovery_all_keys",
        "ip, dn, fn, hn, mac, md, ty, if, cam, ofln, onln, state, sw, t, ft, tp, rl, swc, swn, "
        "btn, so, lk, lt_st, bat, dslp, sho, sht, ver",
    ),
    "an announcement of an old version": _row("discovery_old"),
    "sho and sht": _row("discovery_of_a_shutter", "sho, sht"),
    "dn not escaped": _row("discovery_unescaped_name"),
    "unusable announcements": _row("discovery_unusable"),
    "discovery/.../sensors": _row("discovery_sensors_is_stale", "sn"),
    "LWT": _row("lwt lwt_renamed"),
    "deep sleep": _row("lwt_deep_sleep", "dslp"),
    "Bluetooth bridge": _row("topic_bluetooth", "alias, mac, TempUnit"),
    "SetOption4": _row("result_own_topics", "so, POWER1"),
    "replies of shutters and lamps": _row("result_moved", "Shutter1, Position, Dimmer, CT"),
    "retained SENSOR": _row("retained_telemetry"),
    "STATUS8, STATUS10, STATUS11": _row("status_replies", "StatusSNS, StatusSTS"),
    "friendly names": _row("friendly_names"),
    "names of the Go agent": _row("original_scalar original_channels original_meter"),
}

TABLES = (TIME, ENERGY, SENSORS, STATE, METERS, REJECT, TOPICS)
