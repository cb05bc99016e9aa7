"""What OpenDTU sends, row by row, and the golden case that shows it.

``test_cases`` sees to it that no row is without a case and no case without a row.
"""

from __future__ import annotations

FRAMES = {
    "v2025.04.17 to today: data_age_ms, radio_stats": ("frame_today",),
    "v2024.02.19: one inverter a message, yields in INV": ("frame_one_inverter",),
    "2023.04.29: groups, all inverters in a message, yields in AC": ("frame_groups",),
    "2022-11: channels by number, strings from 1": ("frame_numbered",),
    "before 2022-11: a list, values without decimals": ("frame_flat_list",),
    "three phases on one channel": ("frame_three_phases",),
}

KEYS = {
    "name, empty": ("key_names_empty",),
    "names of the user": ("key_friendly_overrides",),
    "limit_relative, limit_absolute: fractions, 0 and -1": ("key_limits",),
    "u: the unit decides": ("key_units",),
    "YieldDay, YieldTotal: INV first, then AC": ("key_yields_inv_first",),
    "what is new": ("key_unknown",),
}

ONBATTERY = {
    "2025.06.11 to today: battery, power_meter, solarcharger, gridcharger": ("onbattery",),
    "enabled is false": ("onbattery_off",),
    "2023.04.29: vedirect.total, huawei, in the message of the inverters": ("onbattery_2023",),
    "2024.03.07 to 2024.11.20: vedirect.total, huawei, on their own": ("onbattery_2024",),
    "2025.01.09, 2025.01.10: solarcharger.total, huawei": ("onbattery_2025_january",),
}

JUDGED = {
    "never heard": ("reject_never_heard", "reject_boot_claims_reachable"),
    "yields of 0": ("reject_zero_yields",),
    "null, texts, booleans, infinity": ("reject_null_and_texts",),
    "all bits of 16 set, impossible values": ("reject_full_scale",),
    "a true 0 W": ("true_zero",),
    "repetitions": ("repeats", "repeats_whole_seconds"),
    "zeroed at dusk": ("night_zeroed_by_the_dtu", "night_start_of_the_agent"),
    "old values at night": ("night_old_values",),
    "the day's yield cleared at midnight": (
        "midnight_clears_the_day",
        "midnight_keeps_runtime_data",
    ),
    "older than a day": ("stale_for_days",),
    "a total that is lower than before": ("lower_total",),
    "the yield of the day, lower than before": ("lower_today",),
    "what is no inverter, repeated": ("part_unchanged",),
    "total without an inverter": ("total_without_one", "total_by_day_one_is_off"),
    "garbage": ("garbage",),
    "a second DTU": ("second_instance",),
    "names of the Go agent": ("original", "mqtt_original"),
}

MQTT = {
    "<serial>/*": ("mqtt_inverter",),
    "<serial>/0/voltage ph1-n ...": ("mqtt_three_phases",),
    "retained": ("mqtt_retained_night_values",),
    "zeroed at dusk": ("mqtt_night",),
    "the day's yield cleared at midnight": ("mqtt_midnight", "mqtt_midnight_first"),
    "last_update 0": ("mqtt_never_heard",),
    "the DTU's clock is not set, or wrong": ("mqtt_clock_of_the_dtu", "mqtt_clock_an_hour_off"),
    "limits of 0": ("mqtt_limit_zero",),
    "ac/*, dc/*, while an inverter is out of reach": ("mqtt_total", "mqtt_total_evening"),
    "ac/* with an inverter that is not polled": ("mqtt_total_unpolled",),
    "dtu/*": ("mqtt_dtu",),
    "battery/*, powermeter/*": ("mqtt_battery",),
    "battery/* of each kind": (
        "mqtt_battery_pytes",
        "mqtt_battery_smartshunt",
        "mqtt_battery_jkbms",
        "mqtt_battery_zendure",
    ),
    "powermeter/* by phase, counters": ("mqtt_powermeter", "mqtt_powermeter_zeros"),
    "battery/dataAge": ("mqtt_battery_stale",),
    "victron/<serial>/*": ("mqtt_victron",),
    "huawei/*": ("mqtt_huawei",),
    "base topic": ("mqtt_base_topic",),
    "garbage": ("mqtt_garbage",),
}

TABLES = (FRAMES, KEYS, ONBATTERY, JUDGED, MQTT)
