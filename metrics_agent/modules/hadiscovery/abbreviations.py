"""The short keys of Home Assistant's discovery payloads, and what they stand for.

Publishers use them since payloads must fit into the memory of small devices:
https://www.home-assistant.io/integrations/mqtt/#supported-abbreviations-in-mqtt-discovery-messages.
Only keys that this module reads are here; the others mean nothing to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["expand"]

_ENTITY: Final[Mapping[str, str]] = {
    "act_t": "action_topic",
    "act_tpl": "action_template",
    "avty": "availability",
    "avty_mode": "availability_mode",
    "avty_t": "availability_topic",
    "avty_tpl": "availability_template",
    "cdevs": "child_devices",
    "cmd_t": "command_topic",
    "cmd_tpl": "command_template",
    "cmps": "components",
    "curr_hum_t": "current_humidity_topic",
    "curr_hum_tpl": "current_humidity_template",
    "curr_temp_t": "current_temperature_topic",
    "curr_temp_tpl": "current_temperature_template",
    "def_ent_id": "default_entity_id",
    "dev": "device",
    "dev_cla": "device_class",
    "e": "encoding",
    "en": "enabled_by_default",
    "ent_cat": "entity_category",
    "ent_pic": "entity_picture",
    "exp_aft": "expire_after",
    "fan_mode_cmd_t": "fan_mode_command_topic",
    "fan_mode_cmd_tpl": "fan_mode_command_template",
    "fan_mode_stat_t": "fan_mode_state_topic",
    "fan_mode_stat_tpl": "fan_mode_state_template",
    "frc_upd": "force_update",
    "hum_cmd_t": "target_humidity_command_topic",
    "hum_cmd_tpl": "target_humidity_command_template",
    "hum_stat_t": "target_humidity_state_topic",
    "hum_state_tpl": "target_humidity_state_template",
    "ic": "icon",
    "init": "initial",
    "json_attr_t": "json_attributes_topic",
    "json_attr_tpl": "json_attributes_template",
    "lrst_val_tpl": "last_reset_value_template",
    "max_hum": "max_humidity",
    "migr_discvry": "migrate_discovery",
    "min_hum": "min_humidity",
    "mode_cmd_t": "mode_command_topic",
    "mode_cmd_tpl": "mode_command_template",
    "mode_stat_t": "mode_state_topic",
    "mode_stat_tpl": "mode_state_template",
    "msg_exp_int": "message_expiry_interval",
    "o": "origin",
    "off_dly": "off_delay",
    "ops": "options",
    "opt": "optimistic",
    "p": "platform",
    "pl": "payload",
    "pl_avail": "payload_available",
    "pl_cls": "payload_close",
    "pl_not_avail": "payload_not_available",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "pl_open": "payload_open",
    "pl_rst": "payload_reset",
    "pl_rst_hum": "payload_reset_humidity",
    "pl_rst_mode": "payload_reset_mode",
    "pos": "reports_position",
    "pos_clsd": "position_closed",
    "pos_open": "position_open",
    "pos_t": "position_topic",
    "pos_tpl": "position_template",
    "pow_cmd_t": "power_command_topic",
    "pow_cmd_tpl": "power_command_template",
    "pr_mode_cmd_t": "preset_mode_command_topic",
    "pr_mode_cmd_tpl": "preset_mode_command_template",
    "pr_mode_stat_t": "preset_mode_state_topic",
    "pr_mode_val_tpl": "preset_mode_value_template",
    "pr_modes": "preset_modes",
    "ret": "retain",
    "set_pos_t": "set_position_topic",
    "set_pos_tpl": "set_position_template",
    "stat_cla": "state_class",
    "stat_closing": "state_closing",
    "stat_clsd": "state_closed",
    "stat_off": "state_off",
    "stat_on": "state_on",
    "stat_open": "state_open",
    "stat_opening": "state_opening",
    "stat_stopped": "state_stopped",
    "stat_t": "state_topic",
    "stat_val_tpl": "state_value_template",
    "sug_dsp_prc": "suggested_display_precision",
    "swing_h_mode_cmd_t": "swing_horizontal_mode_command_topic",
    "swing_h_mode_cmd_tpl": "swing_horizontal_mode_command_template",
    "swing_h_mode_stat_t": "swing_horizontal_mode_state_topic",
    "swing_h_mode_stat_tpl": "swing_horizontal_mode_state_template",
    "swing_mode_cmd_t": "swing_mode_command_topic",
    "swing_mode_cmd_tpl": "swing_mode_command_template",
    "swing_mode_stat_t": "swing_mode_state_topic",
    "swing_mode_stat_tpl": "swing_mode_state_template",
    "t": "topic",
    "temp_cmd_t": "temperature_command_topic",
    "temp_cmd_tpl": "temperature_command_template",
    "temp_hi_cmd_t": "temperature_high_command_topic",
    "temp_hi_cmd_tpl": "temperature_high_command_template",
    "temp_hi_stat_t": "temperature_high_state_topic",
    "temp_hi_stat_tpl": "temperature_high_state_template",
    "temp_lo_cmd_t": "temperature_low_command_topic",
    "temp_lo_cmd_tpl": "temperature_low_command_template",
    "temp_lo_stat_t": "temperature_low_state_topic",
    "temp_lo_stat_tpl": "temperature_low_state_template",
    "temp_stat_t": "temperature_state_topic",
    "temp_stat_tpl": "temperature_state_template",
    "temp_unit": "temperature_unit",
    "tilt_clsd_val": "tilt_closed_value",
    "tilt_cmd_t": "tilt_command_topic",
    "tilt_cmd_tpl": "tilt_command_template",
    "tilt_opnd_val": "tilt_opened_value",
    "tilt_opt": "tilt_optimistic",
    "tilt_status_t": "tilt_status_topic",
    "tilt_status_tpl": "tilt_status_template",
    "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
    "vis": "visible_by_default",
}
_DEVICE: Final[Mapping[str, str]] = {
    "cdev": "child_device",
    "cns": "connections",
    "cu": "configuration_url",
    "hw": "hw_version",
    "ids": "identifiers",
    "mdl": "model",
    "mdl_id": "model_id",
    "mf": "manufacturer",
    "sa": "suggested_area",
    "sn": "serial_number",
    "sw": "sw_version",
}
_ORIGIN: Final[Mapping[str, str]] = {"sw": "sw_version", "url": "support_url"}


def expand(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return a payload in which every short key is the long one, also in its nested objects.

    Where both are given the short one counts, as in Home Assistant.
    """
    expanded = _expand_entity(payload)
    for key, table in (("device", _DEVICE), ("origin", _ORIGIN)):
        if isinstance(expanded.get(key), dict):
            expanded[key] = _replace(expanded[key], table)
    device = expanded.get("device")
    if isinstance(device, dict) and isinstance(device.get("child_device"), dict):
        device["child_device"] = _replace(device["child_device"], _DEVICE)
    _expand_components(expanded)
    children = expanded.get("child_devices")
    if isinstance(children, list):
        expanded["child_devices"] = [
            _expand_child(each) if isinstance(each, dict) else each for each in children
        ]
    return expanded


def _expand_child(child: Mapping[str, Any]) -> dict[str, Any]:
    expanded = _replace(_replace(child, _DEVICE), _ENTITY)
    _expand_components(expanded)
    return expanded


def _expand_components(expanded: dict[str, Any]) -> None:
    components = expanded.get("components")
    if isinstance(components, dict):
        expanded["components"] = {
            key: _expand_entity(each) if isinstance(each, dict) else each
            for key, each in components.items()
        }


def _expand_entity(payload: Mapping[str, Any]) -> dict[str, Any]:
    expanded = _replace(payload, _ENTITY)
    availability = expanded.get("availability")
    if isinstance(availability, list):
        expanded["availability"] = [
            _replace(each, _ENTITY) if isinstance(each, dict) else each for each in availability
        ]
    elif isinstance(availability, dict):
        expanded["availability"] = _replace(availability, _ENTITY)
    return expanded


def _replace(payload: Mapping[str, Any], table: Mapping[str, str]) -> dict[str, Any]:
    long = {key: value for key, value in payload.items() if key not in table}
    return long | {table[key]: value for key, value in payload.items() if key in table}
