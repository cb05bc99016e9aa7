"""Tests of the contract with the parent process."""
