"""What `metrics-agent demo` shows the agent at work with: a broker and devices, all simulated.

::

    command --- Simulation --- python -m metrics_agent.demo.simulation
                                 a broker (amqtt), six Tasmota devices and two that announce
                                 themselves to Home Assistant (paho-mqtt), and a DTU with
                                 three inverters (websockets)

`devices` is another process, which deploy/compose.yaml starts: the same devices at any broker, with
the DTU by MQTT.

The simulation is a process of its own, so that what the agent receives has come over a real
socket, from programs that share no code with it. It ends with the pipe that is its standard input.
"""
