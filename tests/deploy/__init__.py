"""What deploy/ ships: units, snippets, the installer; with real processes throughout."""
