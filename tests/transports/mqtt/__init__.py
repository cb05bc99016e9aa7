"""Tests of MQTT, without a broker."""
