"""Represents a module whose import ends the program."""

raise SystemExit(3)
