"""The WebSocket client, without a network."""
