"""Tests of the module ``tasmota``."""
