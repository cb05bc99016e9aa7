"""Tests of the module ``hadiscovery``."""
