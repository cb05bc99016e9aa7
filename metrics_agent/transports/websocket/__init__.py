"""A WebSocket client that always reconnects: wsproto on a Twisted transport.

::

    address       `http://dtu.example/livedata` -> WebSocketAddress
    settings      WebSocketSettings, a base class for the settings of modules
    conversation  bytes -> whole messages within a limit; no I/O
    refusals      an answer that is not a WebSocket -> a cause in words
    link          one life of a connection: handshake, pings, end
    connection    connects again and again; one socket at a time

Import from the modules themselves: nothing is loaded here that is not used.
"""

__all__: list[str] = []
