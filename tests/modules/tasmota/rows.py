"""What Tasmota devices send, row by row, and the golden case that shows it.

The rows are those of the tables and lists of the notes on the firmware that the module was built
from; ``test_cases`` sees to it that none is without a case and no case without a row.
"""

from __future__ import annotations

TIME = {
    "TimeFormat 0, local": ("time_local",),
    "TimeFormat 1, Epoch": ("time_epoch",),
    "TimeFormat 2, a number": ("time_number",),
    "TimeFormat 3, milliseconds": ("time_milliseconds",),
    "SetOption52, offset": ("time_offset",),
    "before NTP, versions 5 and 6": ("time_before_ntp",),
}

ENERGY = {
    "TotalStartTime": ("energy_total_start_time", "energy_scalar"),
    "Total": ("energy_total", "energy_two_channels", "energy_three_phases_setoption129"),
    "TotalTariff": ("energy_total_tariff",),
    "Yesterday, Today": ("energy_yesterday_today",),
    "ExportActive": ("energy_export_active",),
    "ExportTariff": ("energy_export_tariff",),
    "TodaySumImport, TodaySumExport": ("energy_today_sums",),
    "ImportActive, ImportReactive, ExportReactive": ("energy_import_reactive",),
    "Period": ("energy_period",),
    "Power": ("energy_power",),
    "ApparentPower, ReactivePower": ("energy_apparent_reactive",),
    "Factor": ("energy_factor",),
    "Frequency": ("energy_frequency",),
    "Voltage": ("energy_voltage",),
    "Current": ("energy_current",),
    "CurrentNeutral": ("energy_current_neutral",),
    "driver extras": ("energy_driver_extras",),
    "nested BL09XX, BL0906": ("energy_nested_chip",),
    "up to 8 channels on ESP32": ("energy_eight_channels",),
    "sum beside channels": ("counters_of_channels",),
    "EnergyTotal replies": ("energy_total_reply",),
    "integers and floats": ("energy_integers_are_floats",),
    "Teleinfo": ("energy_teleinfo",),
}

SENSORS = {
    "AM2301, SHT3X and their like": ("sensor_temperature_humidity",),
    "MS01": ("sensor_ms01",),
    "DS18B20 and its like": ("sensor_ds18b20",),
    "BMP280 and its like": ("sensor_bmp280",),
    "BME280, BME680": ("sensor_bme680", "sensor_units"),
    "SCD30, SCD40": ("sensor_scd40",),
    "MHZ19B": ("sensor_mhz19b",),
    "S8, SAIR, C8-CO2": ("sensor_senseair",),
    "HC8": ("sensor_hc8",),
    "CCS811, SGP30, IAQ, ENS16X": ("sensor_tvoc",),
    "SGP40, SGP41": ("sensor_sgp41",),
    "BH1750, TSL2561 and their like": ("sensor_light",),
    "PMS5003, PMSA003I": ("sensor_pms5003",),
    "SDS0X1, HPMA": ("sensor_sds0x1",),
    "SPS30": ("sensor_sps30",),
    "SEN5X, SEN6X": ("sensor_sen5x",),
    "VINDRIKTNING": ("sensor_vindriktning",),
    "ANALOG": ("sensor_analog",),
    "COUNTER": ("sensor_counter",),
    "HX711": ("sensor_hx711",),
    "SR04, VL53L0X and their like": ("sensor_distance",),
    "LD2410": ("sensor_ld2410",),
    "LD2410S, LD2402": ("sensor_ld2402",),
    "AS3935": ("sensor_as3935",),
    "INA219, INA226": ("sensor_ina219",),
    "INA3221": ("sensor_ina3221",),
    "TX20, TX22, TX23": ("sensor_tx23",),
    "MLX90614": ("sensor_mlx90614",),
    "VEML6070, VEML6075": ("sensor_veml6075",),
    "CHIRP": ("sensor_chirp",),
    "MAX17043": ("sensor_max17043",),
    "ESP32": ("sensor_esp32",),
    "Global": ("sensor_global",),
    "BLE: LYWSD03, Flora, MJ_HT_V1": ("sensor_ble",),
    "ZbReceived": ("sensor_zbreceived",),
    "Switch1..28, SwitchText": ("sensor_switches",),
    "PN532, RDM6300, RfReceived and other events": ("sensor_events",),
    "TuyaSNS, MtrReceived, PCF8574": ("sensor_mixed",),
    "TempUnit, PressureUnit, SpeedUnit": ("sensor_units", "sensor_tx23"),
    "Shutter": ("sensor_shutter",),
}

STATE = {
    "STATE": ("state",),
    "renamed state texts": ("state_renamed_power",),
}

METERS = {
    "import total": ("meter_import_total",),
    "export total": ("meter_export_total",),
    "power": ("meter_power",),
    "per phase power": ("meter_phase_power",),
    "voltage": ("meter_voltage",),
    "current": ("meter_current",),
    "other": ("meter_other",),
    "free names, mapped": ("meter_mapping",),
    "0 until the first telegram": ("meter_before_first_telegram",),
}

REJECT = {
    "null, nan, inf": ("reject_null",),
    "empty and truncated payloads": ("reject_empty_and_truncated",),
    "wraps and jumps of counters": ("pass_counter_wraps",),
    "negative zero, 85.0, -127, zero totals, 0 K": ("reject_sentinels",),
    "numbers as texts": ("reject_text_numbers",),
    "arrays shorter, scalars for arrays, Total as an object": ("reshape_arrays",),
    "Energy that is not kWh": ("energy_is_not_always_kwh",),
}

TOPICS = {
    "%topic%/%prefix%/": ("topic_order",),
    "# and // in a FullTopic": ("topic_home",),
    "prefixes": ("topic_prefixes",),
    "no %prefix%": ("topic_without_prefix",),
    "topic with a slash": ("topic_with_slash",),
    "%id% both ways": ("topic_id_whole",),
    "%hostname%": ("topic_hostname",),
    "topics from the settings": ("topic_from_settings",),
    "held until discovery": ("held_until_discovery",),
    "held and given up": ("held_and_given_up",),
    "removal by an empty payload": ("removed_device",),
    "sho and sht": ("discovery_of_a_shutter",),
    "dn not escaped": ("discovery_unescaped_name",),
    "unusable announcements": ("discovery_unusable",),
    "discovery/.../sensors": ("discovery_sensors_is_stale",),
    "LWT": ("lwt", "lwt_renamed"),
    "deep sleep": ("lwt_deep_sleep",),
    "retained SENSOR": ("retained_telemetry",),
    "STATUS8, STATUS10, STATUS11": ("status_replies",),
    "friendly names": ("friendly_names",),
    "names of the Go agent": ("original_scalar", "original_channels", "original_meter"),
}

TABLES = (TIME, ENERGY, SENSORS, STATE, METERS, REJECT, TOPICS)
COUNTS = (6, 23, 40, 2, 9, 7, 21)
"""How many rows each table has: a row that gets lost is seen."""
