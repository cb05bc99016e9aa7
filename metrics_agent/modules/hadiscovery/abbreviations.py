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
    "frc_upd": "force_update",
    "hum_cmd_t": "target_humidity_command_topic",
    "hum_cmd_tpl": "target_humidity_command_template",
    "hum_stat_t": "target_humidity_state_topic",
    "hum_state_tpl": "target_humidity_state_template",
    "ic": "icon",
    "json_attr_t": "json_attributes_topic",
    "json_attr_tpl": "json_attributes_template",
    "lrst_val_tpl": "last_reset_value_template",
    "max_hum": "max_humidity",
    "migr_discvry": "migrate_discovery",
    "min_hum": "min_humidity",
    "msg_exp_int": "message_expiry_interval",
    "o": "origin",
    "off_dly": "off_delay",
    "ops": "options",
    "opt": "optimistic",
    "p": "platform",
    "pl_avail": "payload_available",
    "pl_not_avail": "payload_not_available",
    "pl_off": "payload_off",
    "pl_on": "payload_on",
    "pl_rst": "payload_reset",
    "pl_rst_hum": "payload_reset_humidity",
    "pos": "reports_position",
    "pos_clsd": "position_closed",
    "pos_open": "position_open",
    "pos_t": "position_topic",
    "pos_tpl": "position_template",
    "ret": "retain",
    "set_pos_t": "set_position_topic",
    "set_pos_tpl": "set_position_template",
    "stat_cla": "state_class",
    "stat_closing": "state_closing",
    "stat_off": "state_off",
    "stat_on": "state_on",
    "stat_opening": "state_opening",
    "stat_t": "state_topic",
    "stat_val_tpl": "state_value_template",
    "sug_dsp_prc": "suggested_display_precision",
    "t": "topic",
    "temp_cmd_t": "temperature_command_topic",
    "temp_cmd_tpl": "temperature_command_template",
    "temp_stat_t": "temperature_state_topic",
    "temp_stat_tpl": "temperature_state_template",
    "temp_unit": "temperature_unit",
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
    components = expanded.get("components")
    if isinstance(components, dict):
        expanded["components"] = {
            key: _expand_entity(each) if isinstance(each, dict) else each
            for key, each in components.items()
        }
    return expanded


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
