"""Tests of the output over HTTP."""
