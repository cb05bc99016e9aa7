"""Keeps modules running: guard, context, restart policy, supervisor, watchdog."""
