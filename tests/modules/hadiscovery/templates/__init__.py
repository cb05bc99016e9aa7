"""Tests of the templates of ``hadiscovery``."""
