"""How bytes come in: MQTT and what else devices speak. No device knowledge in here."""

__all__: list[str] = []
