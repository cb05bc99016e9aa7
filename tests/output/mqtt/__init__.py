"""Tests of the output to a broker."""
