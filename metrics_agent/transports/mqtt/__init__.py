"""MQTT 3.1.1 and 5: paho as the protocol engine on a Twisted transport.

The pieces without any I/O::

    splitter    a stream of bytes -> whole packets, oversized ones discarded in place
    packets     PUBLISH packets -> values; the few packets we write ourselves
    topics      which subscription a topic belongs to, one dict lookup a message
    settings    MqttSettings
    client_id   the stable, unique id of a connection
    inflow      when the socket is read, and when what it brought is handed on
    announcements  messages that wait for the announcements of their devices
    intake      messages -> lines -> batches
    acknowledge    the acknowledgements, in order
    engine      paho: everything but messages at QoS 0 and 1

Import from the modules themselves: nothing is loaded here that is not used.
"""

__all__: list[str] = []
