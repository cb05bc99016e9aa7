"""The parts behind ``metrics-agent demo``: a broker and simulated devices, each in a child process.

::

    command --- DemoChildren --- python -m metrics_agent.demo.broker    amqtt
                             |-- python -m metrics_agent.demo.fleet     paho-mqtt, six devices
                             `-- python -m metrics_agent.demo.opendtu   websockets, three inverters

The children are programs of their own, so that what the agent receives has come over a real
socket, from a broker and from clients that share no code with it. They live as long as the pipe
that is their standard input.
"""
