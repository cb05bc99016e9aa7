"""MQTT 3.1.1 and 5: paho as the protocol engine on a Twisted transport.

The part without any I/O::

    splitter    a stream of bytes -> whole packets, oversized ones discarded in place
    packets     PUBLISH packets -> values; the few packets we write ourselves
    topics      which subscription a topic belongs to, one dict lookup a message
    address     `tls://broker:8883` -> BrokerAddress
    settings    MqttSettings
    client_id   the stable, unique id of a connection
    message     what a handler sees

Import from the modules themselves: nothing is loaded here that is not used.
"""

__all__: list[str] = []
